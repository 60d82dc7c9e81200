/* The image verifier that containerd starts for every pull: a client of the resident gate.
 *
 * Sends its arguments, each ended by a NUL, one more NUL, and standard input; reads one byte, '0' for
 * admit and '1' for refuse, and the reason. Whatever else happens is the fail mode that the
 * installation wrote into it. LAYERPROOF_SOCKET and LAYERPROOF_OPEN are defined by the installation.
 *
 * containerd, docs/image-verification.md: exit code 0 admits, the reason goes to standard output.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define MOST_IN (64 * 1024)
#define MOST_OUT (16 * 1024)
#define SECONDS 9

static int failed(const char *what)
{
    printf("Layerproof: the gate does not answer (%s: %s); %s\n", what, strerror(errno),
           LAYERPROOF_OPEN ? "admitted, as its installation says" : "refused");
    return LAYERPROOF_OPEN ? 0 : 1;
}

static int sent(int to, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t done = send(to, data, size, MSG_NOSIGNAL);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return 0;
        data += done;
        size -= (size_t)done;
    }
    return 1;
}

int main(int count, char **words)
{
    struct sockaddr_un place = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = SECONDS};
    static char buffer[MOST_IN];
    size_t size = 0;
    ssize_t got;
    int gate, word;

    if (sizeof(LAYERPROOF_SOCKET) > sizeof(place.sun_path))
        return 1;
    memcpy(place.sun_path, LAYERPROOF_SOCKET, sizeof(LAYERPROOF_SOCKET));
    gate = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (gate < 0)
        return failed("socket");
    setsockopt(gate, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(gate, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (connect(gate, (struct sockaddr *)&place, sizeof(place)) < 0)
        return failed("connect");
    for (word = 1; word < count; word++)
        if (!sent(gate, words[word], strlen(words[word]) + 1))
            return failed("send");
    if (!sent(gate, "", 1))
        return failed("send");
    while (size < sizeof(buffer)) {
        got = read(0, buffer, sizeof(buffer) - size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        if (!sent(gate, buffer, (size_t)got))
            return failed("send");
        size += (size_t)got;
    }
    shutdown(gate, SHUT_WR);
    size = 0;
    while (size < MOST_OUT) {
        got = recv(gate, buffer + size, MOST_OUT - size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return failed("receive");
        if (got == 0)
            break;
        size += (size_t)got;
    }
    errno = EPROTO;
    if (size == 0 || (buffer[0] != '0' && buffer[0] != '1'))
        return failed("answer");
    fwrite(buffer + 1, 1, size - 1, stdout);
    return buffer[0] == '0' ? 0 : 1;
}
