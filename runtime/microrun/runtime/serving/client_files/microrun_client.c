/* See microrun_client.h. The protocol and the ring in shared memory are described on the page "serve" of microrun's
   documentation. All numbers are little-endian, as on every machine that this is for. */
#define _DEFAULT_SOURCE
#define _POSIX_C_SOURCE 200809L
#include "microrun_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <winsock2.h>
#include <windows.h>
typedef SOCKET socket_type;
typedef int size_type; /* of what goes over a socket at once */
typedef CRITICAL_SECTION lock_type;
#define NO_SOCKET INVALID_SOCKET
#define close_socket closesocket
#define MSG_NOSIGNAL 0
#define SOCK_CLOEXEC 0 /* see keep_to_this_process */
#define USUAL_PLACE "\\microrun\\serve.token"
#else
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
typedef int socket_type;
typedef size_t size_type;
typedef pthread_mutex_t lock_type;
#define NO_SOCKET (-1)
#define close_socket close
#define USUAL_PLACE "/.microrun/serve.token"
#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif
#ifndef MAP_POPULATE /* all pages at once, on Linux: else each costs the first pattern that lies there */
#define MAP_POPULATE 0
#endif
#ifndef SOCK_CLOEXEC
#define SOCK_CLOEXEC 0
#endif
#endif

enum { HELLO = 1, PUSH = 2, LATENTS = 3, STATUS = 4, FINISH = 5, REFUSAL = 255 };
enum { HEAD = 64, TAIL = 128, DROPPED = 192, OVER = 256, PAGE = 4096, SLOT_HEAD = 64 }; /* bytes in the ring */
enum { HEADER_BYTES = 16, HELLO_BYTES = 168, WELCOME_BYTES = 160, MOST_LATENTS = 1 << 16, MOST_PATH = 1 << 16 };
enum { MOST_CHARACTERS = 1024 }; /* of a path that is opened */
enum { LOOK_MS = 250, SHARE_MS = 10, RING_SHARE_MS = 100 };
enum { VERSION = 2, WANTS_RING = 1, HEXAGONAL = 2 }; /* flags of the greeting; layout follows, from 4 on */
static const double ROW_STEP = 0.86602540378443864676; /* sqrt(3)/2 */
static const uint32_t MAGIC = 0x4E55524D;
static const uint64_t RING_MAGIC = 0x474E49524E55524DULL;

struct mr_scan {
    socket_type socket;
    lock_type lock; /* one question at a time */
    uint8_t *ring;  /* NULL where patterns go over TCP */
    uint8_t *own;   /* the slot, where they do */
    uint64_t slots, slot_bytes, ring_bytes, pattern_bytes, head, next, total;
    int64_t looked; /* when the pushing thread last found the service there */
    int32_t latent_size, slot_timeout_ms, has_slot;
    char message[512];
};

/* --- what differs between systems */

#ifdef _WIN32
static uint64_t load(uint8_t *at) { return (uint64_t)InterlockedCompareExchange64((volatile LONG64 *)at, 0, 0); }
static void store(uint8_t *at, uint64_t value) { InterlockedExchange64((volatile LONG64 *)at, (LONG64)value); }
static int64_t now_ms(void) { return (int64_t)GetTickCount64(); }
static void nap(void) { Sleep(1); }
static void make_lock(lock_type *lock) { InitializeCriticalSection(lock); }
static void take_lock(lock_type *lock) { EnterCriticalSection(lock); }
static void give_lock(lock_type *lock) { LeaveCriticalSection(lock); }
static void free_lock(lock_type *lock) { DeleteCriticalSection(lock); }
static uint8_t *map_ring(const char *name, uint64_t bytes) {
    HANDLE file = OpenFileMappingA(FILE_MAP_ALL_ACCESS, FALSE, name);
    void *at = file ? MapViewOfFile(file, FILE_MAP_ALL_ACCESS, 0, 0, (SIZE_T)bytes) : NULL;
    if (file) CloseHandle(file);
    return at;
}
static void unmap_ring(uint8_t *at, uint64_t bytes) { (void)bytes, UnmapViewOfFile(at); }
static void keep_to_this_process(socket_type socket) { SetHandleInformation((HANDLE)socket, HANDLE_FLAG_INHERIT, 0); }
static void find_home(char *home, int size) { /* in UTF-8, as all paths are here */
    wchar_t wide[MOST_CHARACTERS] = L"";
    GetEnvironmentVariableW(L"LOCALAPPDATA", wide, MOST_CHARACTERS);
    if (!WideCharToMultiByte(CP_UTF8, 0, wide, -1, home, size, NULL, NULL)) *home = 0;
}
static FILE *open_file(const char *path) { /* or in the machine's code page, as LabVIEW and older programs give it */
    wchar_t wide[MOST_CHARACTERS];
    int known = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide, MOST_CHARACTERS) ||
                MultiByteToWideChar(CP_ACP, 0, path, -1, wide, MOST_CHARACTERS);
    return known ? _wfopen(wide, L"r") : NULL;
}
static int look(socket_type socket) { /* without waiting: 1 if bytes are there, 0 if not yet, -1 if there is nobody */
    WSAPOLLFD one = {0};
    char byte;
    one.fd = socket, one.events = POLLIN;
    if (WSAPoll(&one, 1, 0) <= 0) return 0;
    return recv(socket, &byte, 1, MSG_PEEK) > 0 ? 1 : -1;
}
static int service_hung_up(mr_scan *scan) { /* not while another thread reads: it will hear of it itself */
    if (!TryEnterCriticalSection(&scan->lock)) return 0;
    int found = scan->socket == NO_SOCKET || look(scan->socket) < 0;
    give_lock(&scan->lock);
    return found;
}
#else
static uint64_t load(uint8_t *at) { return __atomic_load_n((uint64_t *)(void *)at, __ATOMIC_SEQ_CST); }
static void store(uint8_t *at, uint64_t value) { __atomic_store_n((uint64_t *)(void *)at, value, __ATOMIC_SEQ_CST); }
static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
static void nap(void) {
    struct timespec time = {0, 100000};
    nanosleep(&time, NULL);
}
static void make_lock(lock_type *lock) { pthread_mutex_init(lock, NULL); }
static void take_lock(lock_type *lock) { pthread_mutex_lock(lock); }
static void give_lock(lock_type *lock) { pthread_mutex_unlock(lock); }
static void free_lock(lock_type *lock) { pthread_mutex_destroy(lock); }
static uint8_t *map_ring(const char *name, uint64_t bytes) {
    int file = open(name, O_RDWR | O_CLOEXEC);
    struct stat found;
    void *at = MAP_FAILED;
    if (file >= 0 && !fstat(file, &found) && found.st_size >= 0 && (uint64_t)found.st_size >= bytes)
        at = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, 0);
    if (file >= 0) close(file);
    return at == MAP_FAILED ? NULL : at;
}
static void unmap_ring(uint8_t *at, uint64_t bytes) { munmap(at, (size_t)bytes); }
static void keep_to_this_process(socket_type socket) { fcntl(socket, F_SETFD, FD_CLOEXEC); }
static void find_home(char *home, int size) {
    const char *found = getenv("HOME");
    snprintf(home, (size_t)size, "%s", found ? found : "");
}
static FILE *open_file(const char *path) { return fopen(path, "r"); }
static int look(socket_type socket) { /* without waiting: 1 if bytes are there, 0 if not yet, -1 if there is nobody */
    char byte;
    int got = (int)recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return got > 0 ? 1 : got < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}
static int service_hung_up(mr_scan *scan) { return scan->socket == NO_SOCKET || look(scan->socket) < 0; }
#endif

/* --- messages */

static void put32(uint8_t *at, uint32_t value) { memcpy(at, &value, 4); }
static void put64(uint8_t *at, uint64_t value) { memcpy(at, &value, 8); }
static uint32_t get32(const uint8_t *at) { uint32_t value; memcpy(&value, at, 4); return value; }
static uint64_t get64(const uint8_t *at) { uint64_t value; memcpy(&value, at, 8); return value; }

static int32_t fail(mr_scan *scan, int32_t code, const char *text) {
    snprintf(scan->message, sizeof scan->message, "%s", text);
    return code;
}

static int32_t gone(mr_scan *scan) { return fail(scan, MR_GONE, "the service went away"); }

static int send_all(mr_scan *scan, const void *from, uint64_t bytes) {
    const char *at = from;
    while (bytes) {
        size_type part = (size_type)(bytes > 1 << 20 ? 1 << 20 : bytes);
        int sent = (int)send(scan->socket, at, part, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) return 0;
        at += sent, bytes -= (uint64_t)sent;
    }
    return 1;
}

static int take_all(mr_scan *scan, void *to, uint64_t bytes) {
    char *at = to;
    while (bytes) {
        size_type part = (size_type)(bytes > 1 << 20 ? 1 << 20 : bytes);
        int taken = (int)recv(scan->socket, at, part, 0);
        if (taken < 0 && errno == EINTR) continue;
        if (taken <= 0) return 0;
        at += taken, bytes -= (uint64_t)taken;
    }
    return 1;
}

static int drop(mr_scan *scan, uint64_t bytes) {
    for (uint8_t byte; bytes; bytes--)
        if (!take_all(scan, &byte, 1)) return 0;
    return 1;
}

/* Send a question, and take its answer up to the body, of whose bytes there must be least to most; gives how many. */
static int32_t ask(mr_scan *scan, int kind, const uint8_t *body, uint64_t bytes, const void *more, uint64_t more_bytes,
                   uint64_t least, uint64_t most, uint64_t *got) {
    uint8_t header[HEADER_BYTES], text[sizeof scan->message + 4] = {0};
    put32(header, MAGIC), put32(header + 4, VERSION | (uint32_t)kind << 16), put64(header + 8, bytes + more_bytes);
    if (scan->socket == NO_SOCKET) return gone(scan);
    int sent = look(scan->socket) == 0 && send_all(scan, header, sizeof header) && send_all(scan, body, bytes) &&
               send_all(scan, more, more_bytes);
    if (!sent && look(scan->socket) <= 0) return gone(scan); /* else it has said unasked why it hangs up */
    if (!take_all(scan, header, sizeof header)) return gone(scan);
    uint64_t size = get64(header + 8);
    if (get32(header) == MAGIC && get32(header + 4) >> 16 == REFUSAL && size >= 4) {
        uint64_t fits = size < sizeof text - 1 ? size : sizeof text - 1;
        if (!take_all(scan, text, fits) || !drop(scan, size - fits)) return gone(scan);
        int32_t code = (int32_t)get32(text);
        return fail(scan, code < 0 ? code : MR_PROTOCOL, (const char *)text + 4);
    }
    if (get32(header) != MAGIC || get32(header + 4) != (VERSION | (uint32_t)kind << 16) || size < least || size > most) {
        close_socket(scan->socket), scan->socket = NO_SOCKET;
        return fail(scan, MR_PROTOCOL, "what answers is no microrun serve of this version");
    }
    if (got) *got = size;
    return 0;
}

/* --- beginning */

static int32_t read_token(mr_scan *scan, const char *path, int *port, char token[65]) {
    char home[MOST_CHARACTERS], usual[MOST_CHARACTERS + 32];
    if (!path || !*path) {
        find_home(home, sizeof home);
        snprintf(usual, sizeof usual, "%s" USUAL_PLACE, home);
        path = usual;
    }
    FILE *file = open_file(path);
    int found = file ? fscanf(file, "microrun 1 %5d %64[0-9a-f]", port, token) : 0;
    if (file) fclose(file);
    snprintf(scan->message, sizeof scan->message, "%.400s: %s", path,
             file ? "is no token file of microrun serve" : "cannot be read; start microrun serve first");
    return found == 2 && strlen(token) == 64 ? 0 : MR_CONNECT;
}

static int32_t call(mr_scan *scan, int port) {
    struct sockaddr_in address;
    int one = 1;
#ifdef _WIN32
    WSADATA data;
    if (WSAStartup(MAKEWORD(2, 2), &data)) return fail(scan, MR_CONNECT, "Windows has no sockets to give");
#endif
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET, address.sin_port = htons((uint16_t)port), address.sin_addr.s_addr = htonl(0x7F000001);
    scan->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (scan->socket != NO_SOCKET) keep_to_this_process(scan->socket);
    if (scan->socket == NO_SOCKET || connect(scan->socket, (struct sockaddr *)&address, sizeof address)) {
        snprintf(scan->message, sizeof scan->message, "no service answers on port %d; start microrun serve", port);
        return MR_CONNECT;
    }
    setsockopt(scan->socket, IPPROTO_TCP, TCP_NODELAY, (const char *)&one, sizeof one);
    return 0;
}

static int32_t greet(mr_scan *scan, const uint8_t *hello) {
    uint8_t welcome[WELCOME_BYTES + sizeof scan->message];
    uint64_t got = 0, fits, slot;
    int32_t code = ask(scan, HELLO, hello, HELLO_BYTES, NULL, 0, WELCOME_BYTES, WELCOME_BYTES + MOST_PATH, &got);
    if (code) return code;
    fits = got < sizeof welcome - 1 ? got : sizeof welcome - 1; /* of a long path, the beginning */
    if (!take_all(scan, welcome, fits) || !drop(scan, got - fits)) return gone(scan);
    welcome[fits] = 0, scan->looked = now_ms();
    scan->latent_size = (int32_t)get32(welcome), scan->slots = get64(welcome + 8);
    scan->slot_bytes = get64(welcome + 16), scan->ring_bytes = get64(welcome + 24);
    slot = scan->slot_bytes;
    if (welcome[32] && !welcome[159] && slot >= SLOT_HEAD + scan->pattern_bytes && scan->slots &&
        scan->ring_bytes >= PAGE && scan->slots <= (scan->ring_bytes - PAGE) / slot)
        scan->ring = map_ring((const char *)welcome + 32, scan->ring_bytes);
    if (scan->ring && get64(scan->ring) != RING_MAGIC) unmap_ring(scan->ring, scan->ring_bytes), scan->ring = NULL;
    if (!scan->ring && !(scan->own = malloc((size_t)scan->pattern_bytes)))
        return fail(scan, MR_REFUSED, "there is no memory for a pattern");
    snprintf(scan->message, sizeof scan->message, "%s", (const char *)welcome + WELCOME_BYTES);
    return scan->latent_size > 0 ? 0 : fail(scan, MR_PROTOCOL, "latents have no numbers");
}

static int32_t open_scan(const char *token_file, const char *name, const int32_t *numbers, double step_um,
                         double row_step_um, uint32_t flags, mr_scan **out) {
    uint8_t hello[HELLO_BYTES] = {0};
    int32_t code, port = 0;
    char token[65] = "";
    mr_scan *scan = calloc(1, sizeof *scan);
    if (out) *out = scan;
    if (!scan || !out) {
        free(scan);
        return MR_ARGUMENT;
    }
    scan->socket = NO_SOCKET;
    make_lock(&scan->lock);
    for (int i = 0; i < 5; i++)
        if (numbers[i] < 1 || (i >= 2 && numbers[i] > 1 << 14)) return fail(scan, MR_ARGUMENT, "a size makes no sense");
    if (flags & ~(uint32_t)(HEXAGONAL | (MR_ALTERNATING | MR_FIRST_SHIFTED) << 2))
        return fail(scan, MR_ARGUMENT, "the layout of a hexagonal grid must be 0 to 3");
    if (name && strlen(name) > 63) return fail(scan, MR_ARGUMENT, "the name of a scan has 63 characters at most");
    scan->pattern_bytes = (uint64_t)numbers[2] * (uint64_t)numbers[3] * (uint64_t)numbers[4];
    scan->total = (uint64_t)numbers[0] * (uint64_t)numbers[1];
    if (flags & (MR_ALTERNATING << 2)) scan->total -= ((uint64_t)numbers[0] + (flags & MR_FIRST_SHIFTED << 2 ? 1 : 0)) / 2;
    if ((code = read_token(scan, token_file, &port, token)) || (code = call(scan, port))) return code;
    memcpy(hello, token, 64), memcpy(hello + 64, numbers, 20), put32(hello + 84, flags | WANTS_RING);
    memcpy(hello + 88, &step_um, 8), memcpy(hello + 96, &row_step_um, 8);
    if (name) memcpy(hello + 104, name, strlen(name));
    code = greet(scan, hello);
    return code ? code : scan->latent_size;
}

int32_t mr_open(const char *token_file, const char *name, int32_t rows, int32_t cols, int32_t height, int32_t width,
                int32_t pixel_bytes, double step_um, mr_scan **out) {
    const int32_t numbers[5] = {rows, cols, height, width, pixel_bytes};
    return open_scan(token_file, name, numbers, step_um, step_um, 0, out);
}

int32_t mr_open_hexagonal(const char *token_file, const char *name, int32_t rows, int32_t cols, int32_t height,
                          int32_t width, int32_t pixel_bytes, double step_um, int32_t layout, mr_scan **out) {
    const int32_t numbers[5] = {rows, cols, height, width, pixel_bytes};
    uint32_t flags = layout < 0 || layout > 3 ? ~0u : HEXAGONAL | (uint32_t)layout << 2; /* ~0: refused */
    return open_scan(token_file, name, numbers, step_um, step_um * ROW_STEP, flags, out);
}

/* --- patterns */

static int32_t ended(mr_scan *scan) {
    return fail(scan, MR_GONE, "the service has ended the scan; mr_latents says why");
}

/* Whether the service is there, looked at now and then: a ring stays as it is where a service was killed. */
static int32_t check_service(mr_scan *scan) {
    int64_t now = now_ms();
    if (now - scan->looked < LOOK_MS) return 0;
    if (service_hung_up(scan)) return gone(scan);
    scan->looked = now;
    return 0;
}

static int32_t await_room(mr_scan *scan, int32_t timeout_ms) {
    int64_t began = now_ms();
    int32_t code = check_service(scan);
    while (!code && !load(scan->ring + OVER) && scan->head - load(scan->ring + TAIL) >= scan->slots) {
        if (timeout_ms >= 0 && now_ms() - began >= timeout_ms) {
            if (service_hung_up(scan)) return gone(scan);
            store(scan->ring + DROPPED, load(scan->ring + DROPPED) + 1);
            return fail(scan, MR_FULL, "there was no room in time; the pattern is dropped");
        }
        nap();
        code = check_service(scan);
    }
    return code || !load(scan->ring + OVER) ? code : ended(scan);
}

static int32_t check_index(mr_scan *scan, uint64_t index) {
    if (index >= scan->next && index < scan->total) return 0;
    snprintf(scan->message, sizeof scan->message, "the number of a pattern must be %llu to %llu; got %llu",
             (unsigned long long)scan->next, (unsigned long long)scan->total - 1, (unsigned long long)index);
    return MR_ARGUMENT;
}

static int32_t send_pattern(mr_scan *scan, uint64_t index, const void *pattern, int32_t timeout_ms) {
    uint8_t body[16] = {0}, answer[4];
    put64(body, index), put32(body + 8, (uint32_t)timeout_ms);
    take_lock(&scan->lock);
    int32_t code = ask(scan, PUSH, body, sizeof body, pattern, scan->pattern_bytes, 4, 4, NULL);
    if (!code) code = take_all(scan, answer, 4) ? (int32_t)get32(answer) : gone(scan);
    give_lock(&scan->lock);
    return code == MR_FULL ? fail(scan, code, "there was no room in time; the pattern is dropped") : code;
}

static uint8_t *next_slot(mr_scan *scan) { return scan->ring + PAGE + (scan->head % scan->slots) * scan->slot_bytes; }

static int32_t hand_over(mr_scan *scan, uint64_t index) {
    put64(next_slot(scan), index);
    scan->next = index + 1;
    store(scan->ring + HEAD, ++scan->head); /* last: from now on the slot is the service's */
    /* the last pattern ends the scan; any other may have come too late */
    return scan->next < scan->total && load(scan->ring + OVER) ? ended(scan) : 0;
}

void *mr_slot(mr_scan *scan, int32_t timeout_ms) {
    if (!scan || (!scan->ring && !scan->own)) return NULL;
    if (scan->ring && await_room(scan, timeout_ms)) return NULL;
    scan->has_slot = 1, scan->slot_timeout_ms = timeout_ms;
    return scan->ring ? next_slot(scan) + SLOT_HEAD : scan->own;
}

int32_t mr_commit(mr_scan *scan, uint64_t index) {
    int32_t code;
    if (!scan) return MR_ARGUMENT;
    if (!scan->has_slot) return fail(scan, MR_ARGUMENT, "mr_commit must follow mr_slot");
    if ((code = check_index(scan, index))) return code;
    scan->has_slot = 0;
    if (scan->ring) return load(scan->ring + OVER) ? ended(scan) : hand_over(scan, index);
    scan->next = index + 1;
    return send_pattern(scan, index, scan->own, scan->slot_timeout_ms);
}

int32_t mr_push(mr_scan *scan, uint64_t index, const void *pattern, int32_t timeout_ms) {
    int32_t code;
    if (!scan) return MR_ARGUMENT;
    scan->has_slot = 0; /* what is pushed lies where the slot was */
    if (!pattern || (!scan->ring && !scan->own)) return fail(scan, MR_ARGUMENT, "there is no pattern, or no scan");
    if ((code = check_index(scan, index))) return code;
    if (!scan->ring) {
        scan->next = index + 1;
        return send_pattern(scan, index, pattern, timeout_ms);
    }
    if ((code = await_room(scan, timeout_ms))) {
        if (code == MR_FULL) scan->next = index + 1;
        return code;
    }
    memcpy(next_slot(scan) + SLOT_HEAD, pattern, (size_t)scan->pattern_bytes);
    return hand_over(scan, index);
}

/* --- latents */

static int32_t ask_latents(mr_scan *scan, uint64_t *indices, float *latents, int32_t limit, int32_t timeout_ms) {
    uint8_t body[8], head[8];
    uint64_t got = 0, each = 8 + 4 * (uint64_t)scan->latent_size;
    put32(body, (uint32_t)limit), put32(body + 4, (uint32_t)timeout_ms);
    take_lock(&scan->lock);
    int32_t code = ask(scan, LATENTS, body, sizeof body, NULL, 0, 8, 8 + (uint64_t)limit * each, &got), count = 0;
    if (!code && !take_all(scan, head, 8)) code = gone(scan);
    if (!code) {
        count = (int32_t)((got - 8) / each);
        if (got != 8 + (uint64_t)count * each || get32(head) != (uint32_t)count)
            code = fail(scan, MR_PROTOCOL, "the service sent no whole latents");
        else if (!take_all(scan, indices, 8 * (uint64_t)count) || !take_all(scan, latents, got - 8 - 8 * (uint64_t)count))
            code = gone(scan);
    }
    give_lock(&scan->lock);
    if (code) return code;
    return count || !get32(head + 4) ? count : fail(scan, MR_END, "all latents were given");
}

int32_t mr_latents(mr_scan *scan, uint64_t *indices, float *latents, int32_t limit, int32_t timeout_ms) {
    int64_t left, began = now_ms();
    int32_t count, share;
    if (!scan) return MR_ARGUMENT;
    if (!indices || !latents || limit < 1) return fail(scan, MR_ARGUMENT, "there is no room for latents");
    if (limit > MOST_LATENTS) limit = MOST_LATENTS;
    share = scan->ring ? RING_SHARE_MS : SHARE_MS;
    do { /* in small steps, between which another thread may finish, or push over the same connection */
        left = timeout_ms < 0 ? share : timeout_ms - (now_ms() - began);
        count = ask_latents(scan, indices, latents, limit, left > share ? share : left > 0 ? (int32_t)left : 0);
        if (!count) nap();
    } while (!count && left > 0);
    return count;
}

int32_t mr_status(mr_scan *scan, uint64_t *counts) {
    if (!scan) return MR_ARGUMENT;
    if (!counts) return fail(scan, MR_ARGUMENT, "there is no room for counts");
    take_lock(&scan->lock);
    uint8_t alarm[sizeof scan->message] = {0};
    uint64_t least = 8 * MR_COUNTS, got = 0;
    int32_t code = ask(scan, STATUS, NULL, 0, NULL, 0, least, least + sizeof alarm - 1, &got);
    if (!code && !(take_all(scan, counts, least) && take_all(scan, alarm, got - least))) code = gone(scan);
    if (!code) memcpy(scan->message, alarm, sizeof alarm);
    give_lock(&scan->lock);
    return code;
}

int32_t mr_finish(mr_scan *scan) {
    if (!scan) return MR_ARGUMENT;
    take_lock(&scan->lock);
    int32_t code = ask(scan, FINISH, NULL, 0, NULL, 0, 0, 0, NULL);
    give_lock(&scan->lock);
    return code;
}

void mr_close(mr_scan *scan) {
    if (!scan) return;
    if (scan->socket != NO_SOCKET) close_socket(scan->socket);
    if (scan->ring) unmap_ring(scan->ring, scan->ring_bytes);
    free_lock(&scan->lock);
    free(scan->own);
    free(scan);
}

const char *mr_message(const mr_scan *scan) { return scan ? scan->message : "there is no scan"; }
