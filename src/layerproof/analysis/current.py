"""What today's analysers are called together, for those who only compare.

Importing the analysers to ask them costs more than a whole look-up; a test compares this text with
`layerproof.analysis.registry`.
"""

CURRENT = (
    "apk@1 dotnet@1 dpkg@1 entries@2 go@1 java@1 manifests@1 node-locks@1 node@1 os-release@1 "
    "php@1 privileges@1 programs@1 python@1 rpm@1 ruby@1 rust@1 scripts@1 secrets@1"
)
