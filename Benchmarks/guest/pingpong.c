// Counts round trips of one byte over TCP.
//
//     pingpong serve PORT              answers until it is killed
//     pingpong ask ADDRESS PORT SECONDS    prints round trips per second

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int fail(const char *what)
{
    perror(what);
    return 1;
}

static int serve(uint16_t port)
{
    int on = 1;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4))
        return fail("listen");
    for (;;) {
        int peer = accept(listener, NULL, NULL);
        char byte;
        if (peer < 0)
            return fail("accept");
        setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        while (read(peer, &byte, 1) == 1 && write(peer, &byte, 1) == 1) {
        }
        close(peer);
    }
}

static int ask(const char *host, uint16_t port, double seconds)
{
    int on = 1;
    int peer = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    char byte = 0;
    long trips = 0;
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
        return fail(host);
    if (connect(peer, (struct sockaddr *)&address, sizeof address))
        return fail("connect");
    setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    double start = now(), end;
    do {
        for (int i = 0; i < 16; i++, trips++)
            if (write(peer, &byte, 1) != 1 || read(peer, &byte, 1) != 1)
                return fail("round trip");
        end = now();
    } while (end - start < seconds);
    printf("%.1f\n", (double)trips / (end - start));
    return 0;
}

int main(int count, char **words)
{
    if (count == 3 && !strcmp(words[1], "serve"))
        return serve((uint16_t)atoi(words[2]));
    if (count == 5 && !strcmp(words[1], "ask"))
        return ask(words[2], (uint16_t)atoi(words[3]), atof(words[4]));
    fprintf(stderr, "usage: pingpong serve PORT | pingpong ask ADDRESS PORT SECONDS\n");
    return 64;
}
