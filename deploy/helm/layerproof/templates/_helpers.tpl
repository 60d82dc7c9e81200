{{- define "layerproof.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* Short enough for the suffix of the CronJob, whose name may have 52 characters. */}}
{{- define "layerproof.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "layerproof.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "layerproof.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "layerproof.selector" -}}
app.kubernetes.io/name: {{ include "layerproof.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "layerproof.labels" -}}
{{ include "layerproof.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "layerproof.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "layerproof.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "layerproof.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{- define "layerproof.claim" -}}
{{ .Values.storage.existingClaim | default (include "layerproof.fullname" .) }}
{{- end -}}

{{/* What cannot work is refused before anything is installed. */}}
{{- define "layerproof.check" -}}
{{- if .Values.postgresql.host -}}
{{- if not .Values.postgresql.passwordSecret.name -}}
{{- fail "postgresql.passwordSecret.name is missing: name the Secret that holds the password" -}}
{{- end -}}
{{- if and (hasPrefix "verify" .Values.postgresql.sslMode) (not .Values.postgresql.caSecret.name) -}}
{{- fail "postgresql.caSecret.name is missing: sslMode verify-ca and verify-full need the authority's certificate" -}}
{{- end -}}
{{- else if gt (int .Values.service.replicas) 1 -}}
{{- fail "service.replicas is more than 1, and the index is an SQLite file: set postgresql.host" -}}
{{- end -}}
{{- if not (or .Values.storage.create .Values.storage.existingClaim) -}}
{{- fail "there is no volume: set storage.create, or name storage.existingClaim" -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled (not .Values.metrics.serviceMonitor.tokenSecret.name) -}}
{{- fail "metrics.serviceMonitor.tokenSecret.name is missing: /metrics wants a token of role viewer" -}}
{{- end -}}
{{- end -}}

{{/* What the pods of all components have in common. */}}
{{- define "layerproof.pod" -}}
serviceAccountName: {{ include "layerproof.serviceAccount" . }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext: {{- toYaml .Values.podSecurityContext | nindent 2 }}
terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "layerproof.container" -}}
name: layerproof
image: {{ include "layerproof.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext: {{- toYaml .Values.securityContext | nindent 2 }}
{{- end -}}

{{/* Settings of the service and its workers. */}}
{{- define "layerproof.environment" -}}
{{- if .Values.postgresql.host -}}
- name: LAYERPROOF_INDEX
  value: {{ printf "postgresql://%s@%s:%d/%s" .Values.postgresql.user .Values.postgresql.host (int .Values.postgresql.port) .Values.postgresql.database | quote }}
- name: PGPASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .Values.postgresql.passwordSecret.name }}
      key: {{ .Values.postgresql.passwordSecret.key }}
- name: PGSSLMODE
  value: {{ .Values.postgresql.sslMode }}
{{- if .Values.postgresql.caSecret.name }}
- name: PGSSLROOTCERT
  value: /etc/layerproof/postgresql/{{ .Values.postgresql.caSecret.key }}
{{- end }}
{{- else -}}
- name: LAYERPROOF_INDEX
  value: /var/lib/layerproof/index.db
{{- end }}
- name: LAYERPROOF_QUARANTINE
  value: /var/lib/layerproof/quarantine
- name: LAYERPROOF_WORKERS
  value: {{ .Values.layerProcesses | quote }}
{{- if .Values.policy }}
- name: LAYERPROOF_POLICY
  value: /etc/layerproof/files/policy.yaml
{{- end }}
{{- if .Values.serviceConfig }}
- name: LAYERPROOF_SERVICE_CONFIG
  value: /etc/layerproof/files/service.yaml
{{- end }}
{{- if .Values.registryCredentials.secretName }}
- name: DOCKER_CONFIG
  value: /etc/layerproof/docker
{{- end }}
{{- end -}}

{{/* Settings of everything that runs. */}}
{{- define "layerproof.settings" -}}
- name: LAYERPROOF_ADVISORIES
  value: /var/lib/layerproof/advisories/advisories.db
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

{{/* Folders, never single files: those would not follow when a ConfigMap or Secret changes. */}}
{{- define "layerproof.mounts" -}}
- name: tmp
  mountPath: /tmp
{{- if or .Values.policy .Values.serviceConfig }}
- name: files
  mountPath: /etc/layerproof/files
  readOnly: true
{{- end }}
{{- if .Values.registryCredentials.secretName }}
- name: docker
  mountPath: /etc/layerproof/docker
  readOnly: true
{{- end }}
{{- if and .Values.postgresql.host .Values.postgresql.caSecret.name }}
- name: postgresql
  mountPath: /etc/layerproof/postgresql
  readOnly: true
{{- end }}
{{- range .Values.secretMounts }}
- name: secret-{{ .name }}
  mountPath: /run/secrets/layerproof/{{ .name }}
  readOnly: true
{{- end }}
{{- end -}}

{{- define "layerproof.volumes" -}}
- name: data
  persistentVolumeClaim:
    claimName: {{ include "layerproof.claim" . }}
- name: tmp
  emptyDir: {}
{{- if or .Values.policy .Values.serviceConfig }}
- name: files
  configMap:
    name: {{ include "layerproof.fullname" . }}
{{- end }}
{{- if .Values.registryCredentials.secretName }}
- name: docker
  secret:
    secretName: {{ .Values.registryCredentials.secretName }}
    items:
      - key: .dockerconfigjson
        path: config.json
{{- end }}
{{- if and .Values.postgresql.host .Values.postgresql.caSecret.name }}
- name: postgresql
  secret:
    secretName: {{ .Values.postgresql.caSecret.name }}
    items:
      - key: {{ .Values.postgresql.caSecret.key }}
        path: {{ .Values.postgresql.caSecret.key }}
{{- end }}
{{- range .Values.secretMounts }}
- name: secret-{{ .name }}
  secret:
    secretName: {{ .secretName }}
{{- end }}
{{- end -}}
