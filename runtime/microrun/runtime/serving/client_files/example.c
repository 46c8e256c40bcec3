/* Encode raw patterns by `microrun serve`, as an acquisition program would.

     cc -std=c99 -O2 example.c microrun_client.c -o example -lpthread        (MinGW: -lws2_32 instead)
     example PATTERNS ROWS COLS HEIGHT WIDTH LATENTS [TIMEOUT_MS [TOKEN_FILE [LAYOUT]]]

   PATTERNS holds ROWS x COLS patterns of 16 bits a pixel, LATENTS gets a record for each latent that comes: its number,
   8 bytes, and its values. TIMEOUT_MS is how long a pattern waits for room: 0 never, -1 without end. LAYOUT is given
   where the grid is hexagonal: 0, or the sum of what the header names. */
#include "microrun_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AT_ONCE = 256 };

static int give_up(mr_scan *scan, const char *what) {
    fprintf(stderr, "%s: %s\n", what, mr_message(scan));
    mr_close(scan);
    return 1;
}

/* Write latents that are there, or come within the time; what mr_latents returns. */
static int32_t save(mr_scan *scan, int32_t size, uint64_t *indices, float *latents, FILE *out, int32_t timeout_ms) {
    int32_t count = mr_latents(scan, indices, latents, AT_ONCE, timeout_ms);
    for (int32_t i = 0; i < count; i++) {
        fwrite(indices + i, sizeof *indices, 1, out);
        fwrite(latents + (size_t)i * (size_t)size, sizeof *latents, (size_t)size, out);
    }
    return count;
}

int main(int argc, char **argv) {
    if (argc < 7) return fprintf(stderr, "example PATTERNS ROWS COLS HEIGHT WIDTH LATENTS [TIMEOUT_MS [TOKEN_FILE [LAYOUT]]]\n"), 2;
    int rows = atoi(argv[2]), cols = atoi(argv[3]), height = atoi(argv[4]), width = atoi(argv[5]);
    int timeout_ms = argc > 7 ? atoi(argv[7]) : -1;
    FILE *in = fopen(argv[1], "rb"), *out = fopen(argv[6], "wb");
    if (!in || !out) return fprintf(stderr, "a file cannot be opened\n"), 2;

    const char *token_file = argc > 8 ? argv[8] : NULL;
    mr_scan *scan = NULL;
    int32_t got = 0, size;
    if (argc > 9) size = mr_open_hexagonal(token_file, NULL, rows, cols, height, width, 2, 1.0, atoi(argv[9]), &scan);
    else size = mr_open(token_file, NULL, rows, cols, height, width, 2, 1.0, &scan);
    if (size < 0) return give_up(scan, "open");
    printf("latents go to %s\n", mr_message(scan));

    size_t bytes = (size_t)height * (size_t)width * 2;
    uint8_t *pattern = malloc(bytes);
    uint64_t *indices = malloc(AT_ONCE * sizeof *indices), counts[MR_COUNTS] = {0};
    float *latents = malloc((size_t)AT_ONCE * (size_t)size * sizeof *latents);
    for (uint64_t i = 0; fread(pattern, 1, bytes, in) == bytes; i++) {
        int32_t code = mr_push(scan, i, pattern, timeout_ms);
        if (code && code != MR_FULL) return give_up(scan, "push");
        if (i % AT_ONCE == AT_ONCE - 1) save(scan, size, indices, latents, out, 0);
    }
    if (mr_finish(scan)) return give_up(scan, "finish");
    while ((got = save(scan, size, indices, latents, out, 1000)) >= 0) {}
    if (got != MR_END) return give_up(scan, "latents");

    mr_status(scan, counts);
    printf("%u accepted, %u dropped, %u encoded\n", (unsigned)counts[MR_ACCEPTED], (unsigned)counts[MR_DROPPED],
           (unsigned)counts[MR_ENCODED]);
    if (counts[MR_ALARMS]) printf("%u alarms %s\n", (unsigned)counts[MR_ALARMS], mr_message(scan));
    mr_close(scan);
    free(pattern), free(indices), free(latents);
    return fclose(in) | fclose(out);
}
