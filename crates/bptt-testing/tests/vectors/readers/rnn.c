#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned char *file;
static long length;

static unsigned two(const unsigned char *p) { return p[0] | p[1] << 8; }
static uint32_t four(const unsigned char *p) { return two(p) | (uint32_t)two(p + 2) << 16; }

static void refuse(const char *reason, const char *name) {
    fprintf(stderr, "%s: %s\n", name, reason);
    exit(1);
}

/* The entries of an array as doubles, and its shape. A .npz file is a zip archive of .npy files; those of bptt are
   stored without compression. */
static double *array(int vector, const char *path, size_t shape[4]) {
    char name[256];
    if (vector < 0) snprintf(name, sizeof name, "%s.npy", path);
    else snprintf(name, sizeof name, "%d/%s.npy", vector, path);
    const unsigned char *end = file + length - 22;           /* the last record: the directory of the archive */
    const unsigned char *entry = file + four(end + 16);
    for (unsigned left = two(end + 10); left > 0; left--) {
        unsigned bytes = two(entry + 28);
        if (bytes == strlen(name) && memcmp(entry + 46, name, bytes) == 0) break;
        entry += 46 + bytes + two(entry + 30) + two(entry + 32);
        if (left == 1) refuse("no such array", name);
    }
    if (two(entry + 10) != 0) refuse("compressed", name);
    const unsigned char *local = file + four(entry + 42);
    const unsigned char *npy = local + 30 + two(local + 26) + two(local + 28);
    char header[512] = {0};
    unsigned size = two(npy + 8);
    if (memcmp(npy, "\x93NUMPY", 6) != 0 || size >= sizeof header) refuse("no .npy array", name);
    memcpy(header, npy + 10, size);
    size_t count = 1, own[4], *sizes = shape ? shape : own;
    char *text = strchr(strstr(header, "'shape'"), '(') + 1;
    for (int axis = 0; axis < 4; axis++) {
        sizes[axis] = 1;
        if (*text >= '0' && *text <= '9') count *= sizes[axis] = strtoul(text, &text, 10);
        while (*text == ',' || *text == ' ') text++;
    }
    double *entries = malloc((count + 1) * sizeof *entries);
    const unsigned char *data = npy + 10 + size;
    for (size_t i = 0; i < count; i++) {
        int64_t whole;
        float single;
        if (strstr(header, "<f8")) memcpy(entries + i, data + 8 * i, 8);
        else if (strstr(header, "<i8")) memcpy(&whole, data + 8 * i, 8), entries[i] = (double)whole;
        else if (strstr(header, "<f4")) memcpy(&single, data + 4 * i, 4), entries[i] = single;
        else refuse("another type", name);
    }
    return entries;
}

static size_t compared;

/* Compares an array with the expected one. */
static void check(int vector, const char *path, const double *found) {
    char bound_path[64];
    size_t s[4];
    snprintf(bound_path, sizeof bound_path, "bound/%s", path);
    double *expected = array(vector, path, s), *bound = array(vector, bound_path, NULL);
    for (size_t i = 0; i < s[0] * s[1] * s[2] * s[3]; i++) {
        compared++;
        /* NaN: an output beyond the length of its sample, which is not defined. */
        if (isnan(expected[i]) || fabs(found[i] - expected[i]) <= *bound) continue;
        fprintf(stderr, "vector %d: %s[%zu] is %.17g, expected %.17g\n", vector, path, i, found[i], expected[i]);
        exit(1);
    }
    free(expected);
    free(bound);
}

/* The code under test: a tanh RNN with a linear readout and half the squared error. */
static void run(int vector) {
    size_t s[4];
    double *x = array(vector, "inputs/x", s), *y = array(vector, "inputs/y", NULL);
    size_t T = s[0], B = s[1], K = s[2];
    double *lengths = array(vector, "lengths", NULL);
    double *W_O = array(vector, "params/W_O", s), *b_q = array(vector, "params/b_q", NULL);
    size_t O = s[0], H = s[1];
    double *W_H = array(vector, "params/W_H", NULL), *W_X = array(vector, "params/W_X", NULL);
    double *b_h = array(vector, "params/b_h", NULL);
    double loss = 0;
    double *dW_H = calloc(H * H, 8), *dW_X = calloc(H * K, 8), *db_h = calloc(H, 8);
    double *dW_O = calloc(O * H, 8), *db_q = calloc(O, 8), *h = calloc((T + 1) * H, 8);
    double *dh = calloc(H, 8), *da = calloc(H, 8);
    for (size_t b = 0; b < B; b++) {
        size_t steps = (size_t)lengths[b];
        for (size_t t = 0; t < steps; t++)
            for (size_t i = 0; i < H; i++) {
                double a = b_h[i];
                for (size_t j = 0; j < H; j++) a += W_H[i * H + j] * h[t * H + j];
                for (size_t k = 0; k < K; k++) a += W_X[i * K + k] * x[(t * B + b) * K + k];
                h[(t + 1) * H + i] = tanh(a);
            }
        memset(dh, 0, H * 8);
        for (size_t t = steps; t-- > 0;) {
            double *now = h + (t + 1) * H, *before = h + t * H;
            for (size_t o = 0; o < O; o++) {
                double error = b_q[o] - y[(t * B + b) * O + o];
                for (size_t i = 0; i < H; i++) error += W_O[o * H + i] * now[i];
                loss += 0.5 * error * error;
                db_q[o] += error;
                for (size_t i = 0; i < H; i++) dW_O[o * H + i] += error * now[i], dh[i] += W_O[o * H + i] * error;
            }
            for (size_t i = 0; i < H; i++) da[i] = dh[i] * (1 - now[i] * now[i]);
            memset(dh, 0, H * 8);
            for (size_t i = 0; i < H; i++) {
                db_h[i] += da[i];
                for (size_t j = 0; j < H; j++) dW_H[i * H + j] += da[i] * before[j], dh[j] += W_H[i * H + j] * da[i];
                for (size_t k = 0; k < K; k++) dW_X[i * K + k] += da[i] * x[(t * B + b) * K + k];
            }
        }
    }
    check(vector, "loss", &loss);
    check(vector, "gradient/W_H", dW_H);
    check(vector, "gradient/W_X", dW_X);
    check(vector, "gradient/b_h", db_h);
    check(vector, "gradient/W_O", dW_O);
    check(vector, "gradient/b_q", db_q);
}

int main(int count, char **arguments) {
    FILE *stream = count == 2 ? fopen(arguments[1], "rb") : NULL;
    if (!stream) refuse("cannot be read", count == 2 ? arguments[1] : "usage: rnn FILE");
    fseek(stream, 0, SEEK_END);
    length = ftell(stream);
    rewind(stream);
    file = malloc((size_t)length + 1);
    if (length < 22 || fread(file, 1, (size_t)length, stream) != (size_t)length) refuse("cannot be read", arguments[1]);
    if (*array(-1, "format", NULL) != 1) refuse("another format", arguments[1]);
    int vectors = (int)*array(-1, "count", NULL);
    for (int vector = 0; vector < vectors; vector++) run(vector);
    printf("%zu numbers agree\n", compared);
    return 0;
}
