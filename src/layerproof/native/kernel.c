/* Digests of a tar and of the files in it, in one pass over the bytes.
 *
 * The tar as a whole has a SHA-256 (its DiffID), every file in it has one, and files that a package
 * manager may own also have an MD5 (dpkg) and a SHA-1 (apk). Computed one after the other, each
 * waits for its own chain of dependent instructions. Here they go block by block side by side:
 * file data begins at a multiple of 512 bytes, so that all of them cut the bytes into the same
 * blocks of 64, and both SHA-256 share one message schedule.
 *
 * The library reads the bytes that it is given and writes into the state and the output that it is
 * given. It allocates nothing, parses nothing, calls nothing. Needs the SHA extensions of x86-64
 * (`lp_supported`); elsewhere the caller uses other means.
 *
 * FIPS 180-4 sections 5.3, 6.1.2, 6.2.2; RFC 1321 section 3; Intel SDM, SHA256RNDS2 and SHA1RNDS4.
 */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { BEGIN = 1, END = 2, CHECK = 4 };
enum { SHA256 = 32, MD5 = 16, SHA1 = 20, CHECKS = MD5 + SHA1 };

typedef struct {
    uint32_t tar[8];
    uint32_t file[8];
    uint32_t sha1[5];
    uint32_t md5[4];
    uint32_t open;  /* a file is open: 1, with CHECK if it is */
    uint32_t held;  /* bytes of `block` that are there */
    uint64_t tar_size;
    uint64_t file_size;
    uint8_t block[64];  /* the part of a block that has arrived */
} State;

size_t lp_state_size(void) { return sizeof(State); }

#if defined(__x86_64__) && defined(__GNUC__)

#include <cpuid.h>
#include <immintrin.h>

#define NATIVE __attribute__((target("avx,sha,sse4.1,ssse3")))

int lp_supported(void) {
    unsigned a, b, c, d;
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx") || !__builtin_cpu_supports("ssse3")) return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & (1u << 29)); /* SHA */
}

static const uint32_t IV256[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};
static const uint32_t IV1[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};

static const uint32_t K256[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* A SHA-256 state as SHA256RNDS2 wants it. */
typedef struct { __m128i abef, cdgh; } Pair;

NATIVE static inline Pair pair_load(const uint32_t h[8]) {
    __m128i low = _mm_loadu_si128((const __m128i *)h);          /* d c b a */
    __m128i high = _mm_loadu_si128((const __m128i *)(h + 4));   /* h g f e */
    low = _mm_shuffle_epi32(low, 0xB1);                         /* c d a b */
    high = _mm_shuffle_epi32(high, 0x1B);                       /* e f g h */
    Pair p = {_mm_alignr_epi8(low, high, 8), _mm_blend_epi16(high, low, 0xF0)};
    return p;
}

NATIVE static inline void pair_store(uint32_t h[8], Pair p) {
    __m128i low = _mm_shuffle_epi32(p.abef, 0x1B);              /* f e b a */
    __m128i high = _mm_shuffle_epi32(p.cdgh, 0xB1);             /* d c h g */
    _mm_storeu_si128((__m128i *)h, _mm_blend_epi16(low, high, 0xF0));
    _mm_storeu_si128((__m128i *)(h + 4), _mm_alignr_epi8(high, low, 8));
}

#define ROUNDS(p, w)                                                          \
    (p).cdgh = _mm_sha256rnds2_epu32((p).cdgh, (p).abef, (w));                \
    (p).abef = _mm_sha256rnds2_epu32((p).abef, (p).cdgh, _mm_shuffle_epi32((w), 0x0E))

#define STEP(i, now)                                                          \
    do {                                                                      \
        __m128i w = _mm_add_epi32(now, _mm_load_si128((const __m128i *)(K256 + 4 * (i)))); \
        ROUNDS(a, w);                                                         \
        if (two) { ROUNDS(b, w); }                                            \
    } while (0)

/* m0 becomes the next four words of the message schedule. */
#define EXPAND(m0, m1, m2, m3)                                                \
    m0 = _mm_sha256msg2_epu32(                                                \
        _mm_add_epi32(_mm_sha256msg1_epu32(m0, m1), _mm_alignr_epi8(m3, m2, 4)), m3)

NATIVE static inline __attribute__((always_inline)) void sha256_blocks(
    uint32_t *first, uint32_t *second, const uint8_t *data, size_t blocks, const int two) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    Pair a = pair_load(first), b = two ? pair_load(second) : a;
    for (; blocks; blocks--, data += 64) {
        const Pair old_a = a, old_b = b;
        const __m128i *in = (const __m128i *)data;
        __m128i m0 = _mm_shuffle_epi8(_mm_loadu_si128(in), swap);
        __m128i m1 = _mm_shuffle_epi8(_mm_loadu_si128(in + 1), swap);
        __m128i m2 = _mm_shuffle_epi8(_mm_loadu_si128(in + 2), swap);
        __m128i m3 = _mm_shuffle_epi8(_mm_loadu_si128(in + 3), swap);
        STEP(0, m0);
        STEP(1, m1);
        STEP(2, m2);
        STEP(3, m3);
        for (int i = 4; i < 16; i += 4) {
            EXPAND(m0, m1, m2, m3);
            STEP(i, m0);
            EXPAND(m1, m2, m3, m0);
            STEP(i + 1, m1);
            EXPAND(m2, m3, m0, m1);
            STEP(i + 2, m2);
            EXPAND(m3, m0, m1, m2);
            STEP(i + 3, m3);
        }
        a.abef = _mm_add_epi32(a.abef, old_a.abef);
        a.cdgh = _mm_add_epi32(a.cdgh, old_a.cdgh);
        if (two) {
            b.abef = _mm_add_epi32(b.abef, old_b.abef);
            b.cdgh = _mm_add_epi32(b.cdgh, old_b.cdgh);
        }
    }
    pair_store(first, a);
    if (two) pair_store(second, b);
}

NATIVE static void sha256_one(uint32_t *state, const uint8_t *data, size_t blocks) {
    sha256_blocks(state, state, data, blocks, 0);
}

NATIVE static void sha256_two(
    uint32_t *first, uint32_t *second, const uint8_t *data, size_t blocks) {
    sha256_blocks(first, second, data, blocks, 1);
}

/* Four rounds of SHA-1: `e0` takes the words in, `e1` keeps what the next four need. */
#define SHA1_FOUR(e0, e1, m, function)                                        \
    e0 = _mm_sha1nexte_epu32(e0, m);                                          \
    e1 = abcd;                                                                \
    abcd = _mm_sha1rnds4_epu32(abcd, e0, function)

#define SHA1_EXPAND(m0, m1, m2, m3)                                           \
    m0 = _mm_sha1msg2_epu32(_mm_xor_si128(_mm_sha1msg1_epu32(m0, m1), m2), m3)

NATIVE static inline void sha1_block(uint32_t state[5], const uint8_t *data) {
    const __m128i swap = _mm_set_epi64x(0x0001020304050607LL, 0x08090a0b0c0d0e0fLL);
    const __m128i *in = (const __m128i *)data;
    __m128i abcd = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0x1B);
    __m128i e0 = _mm_set_epi32((int)state[4], 0, 0, 0), e1;
    const __m128i old = abcd, old_e = e0;
    __m128i m0 = _mm_shuffle_epi8(_mm_loadu_si128(in), swap);
    __m128i m1 = _mm_shuffle_epi8(_mm_loadu_si128(in + 1), swap);
    __m128i m2 = _mm_shuffle_epi8(_mm_loadu_si128(in + 2), swap);
    __m128i m3 = _mm_shuffle_epi8(_mm_loadu_si128(in + 3), swap);
    e0 = _mm_add_epi32(e0, m0); /* the first takes no rotated e */
    e1 = abcd;
    abcd = _mm_sha1rnds4_epu32(abcd, e0, 0);
    SHA1_FOUR(e1, e0, m1, 0);
    SHA1_FOUR(e0, e1, m2, 0);
    SHA1_FOUR(e1, e0, m3, 0);
#define SHA1_SIXTEEN(f0, f1, f2, f3)                                          \
    SHA1_EXPAND(m0, m1, m2, m3); SHA1_FOUR(e0, e1, m0, f0);                   \
    SHA1_EXPAND(m1, m2, m3, m0); SHA1_FOUR(e1, e0, m1, f1);                   \
    SHA1_EXPAND(m2, m3, m0, m1); SHA1_FOUR(e0, e1, m2, f2);                   \
    SHA1_EXPAND(m3, m0, m1, m2); SHA1_FOUR(e1, e0, m3, f3)
    SHA1_SIXTEEN(0, 1, 1, 1);
    SHA1_SIXTEEN(1, 1, 2, 2);
    SHA1_SIXTEEN(2, 2, 2, 3);
    SHA1_SIXTEEN(3, 3, 3, 3);
    e0 = _mm_sha1nexte_epu32(e0, old_e);
    abcd = _mm_add_epi32(abcd, old);
    _mm_storeu_si128((__m128i *)state, _mm_shuffle_epi32(abcd, 0x1B));
    state[4] = (uint32_t)_mm_extract_epi32(e0, 3);
}

#define ROTATE(x, n) (((x) << (n)) | ((x) >> (32 - (n))))
/* The terms that do not wait for the newest word are added first: that is the critical path. */
#define MD5_STEP(function, a, b, c, d, k, s, t)                               \
    a += word[k] + t;                                                         \
    a += function(b, c, d);                                                   \
    a = b + ROTATE(a, s)
#define MD5_F(x, y, z) ((((y) ^ (z)) & (x)) ^ (z))
#define MD5_G(x, y, z) (((x) & (z)) + ((y) & ~(z)))
#define MD5_H(x, y, z) ((x) ^ ((y) ^ (z)))
#define MD5_I(x, y, z) ((y) ^ ((x) | ~(z)))
#define MD5_FOUR(f, k0, k1, k2, k3, s0, s1, s2, s3, t0, t1, t2, t3)           \
    MD5_STEP(f, a, b, c, d, k0, s0, t0);                                      \
    MD5_STEP(f, d, a, b, c, k1, s1, t1);                                      \
    MD5_STEP(f, c, d, a, b, k2, s2, t2);                                      \
    MD5_STEP(f, b, c, d, a, k3, s3, t3)

static inline void md5_block(uint32_t state[4], const uint8_t *data) {
    uint32_t word[16];
    memcpy(word, data, sizeof word); /* little endian, as the machine is */
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    MD5_FOUR(MD5_F, 0, 1, 2, 3, 7, 12, 17, 22, 0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee);
    MD5_FOUR(MD5_F, 4, 5, 6, 7, 7, 12, 17, 22, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501);
    MD5_FOUR(MD5_F, 8, 9, 10, 11, 7, 12, 17, 22, 0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be);
    MD5_FOUR(MD5_F, 12, 13, 14, 15, 7, 12, 17, 22, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821);
    MD5_FOUR(MD5_G, 1, 6, 11, 0, 5, 9, 14, 20, 0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa);
    MD5_FOUR(MD5_G, 5, 10, 15, 4, 5, 9, 14, 20, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8);
    MD5_FOUR(MD5_G, 9, 14, 3, 8, 5, 9, 14, 20, 0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed);
    MD5_FOUR(MD5_G, 13, 2, 7, 12, 5, 9, 14, 20, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a);
    MD5_FOUR(MD5_H, 5, 8, 11, 14, 4, 11, 16, 23, 0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c);
    MD5_FOUR(MD5_H, 1, 4, 7, 10, 4, 11, 16, 23, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70);
    MD5_FOUR(MD5_H, 13, 0, 3, 6, 4, 11, 16, 23, 0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05);
    MD5_FOUR(MD5_H, 9, 12, 15, 2, 4, 11, 16, 23, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665);
    MD5_FOUR(MD5_I, 0, 7, 14, 5, 6, 10, 15, 21, 0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039);
    MD5_FOUR(MD5_I, 12, 3, 10, 1, 6, 10, 15, 21, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1);
    MD5_FOUR(MD5_I, 8, 15, 6, 13, 6, 10, 15, 21, 0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1);
    MD5_FOUR(MD5_I, 4, 11, 2, 9, 6, 10, 15, 21, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391);
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
}

/* Four rounds of both SHA-256. */
#define BOTH(i, now)                                                          \
    do {                                                                      \
        __m128i w = _mm_add_epi32(now, _mm_load_si128((const __m128i *)(K256 + 4 * (i)))); \
        ROUNDS(tar, w);                                                       \
        ROUNDS(file, w);                                                      \
    } while (0)

/* All four, step by step side by side: MD5 waits for itself most of the time, and the others run
 * in its gaps (0.5 ns a byte beside both SHA-256, where it takes 1.0 after them). */
NATIVE static void checked_blocks(State *s, const uint8_t *data, size_t blocks) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    const __m128i turn = _mm_set_epi64x(0x0001020304050607LL, 0x08090a0b0c0d0e0fLL);
    Pair tar = pair_load(s->tar), file = pair_load(s->file);
    __m128i abcd = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)s->sha1), 0x1B);
    __m128i e0 = _mm_set_epi32((int)s->sha1[4], 0, 0, 0), e1;
    uint32_t a = s->md5[0], b = s->md5[1], c = s->md5[2], d = s->md5[3];
    for (; blocks; blocks--, data += 64) {
        const Pair old_tar = tar, old_file = file;
        const __m128i old = abcd, old_e = e0, *in = (const __m128i *)data;
        const uint32_t old_md5[4] = {a, b, c, d};
        uint32_t word[16];
        memcpy(word, data, sizeof word);
        __m128i m0 = _mm_shuffle_epi8(_mm_loadu_si128(in), swap);
        __m128i m1 = _mm_shuffle_epi8(_mm_loadu_si128(in + 1), swap);
        __m128i m2 = _mm_shuffle_epi8(_mm_loadu_si128(in + 2), swap);
        __m128i m3 = _mm_shuffle_epi8(_mm_loadu_si128(in + 3), swap);
        __m128i n0 = _mm_shuffle_epi8(_mm_loadu_si128(in), turn);
        __m128i n1 = _mm_shuffle_epi8(_mm_loadu_si128(in + 1), turn);
        __m128i n2 = _mm_shuffle_epi8(_mm_loadu_si128(in + 2), turn);
        __m128i n3 = _mm_shuffle_epi8(_mm_loadu_si128(in + 3), turn);
        BOTH(0, m0);
        MD5_FOUR(MD5_F, 0, 1, 2, 3, 7, 12, 17, 22, 0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee);
        e0 = _mm_add_epi32(e0, n0); /* the first takes no rotated e */
        e1 = abcd;
        abcd = _mm_sha1rnds4_epu32(abcd, e0, 0);
        BOTH(1, m1);
        MD5_FOUR(MD5_F, 4, 5, 6, 7, 7, 12, 17, 22, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501);
        SHA1_FOUR(e1, e0, n1, 0);
        BOTH(2, m2);
        MD5_FOUR(MD5_F, 8, 9, 10, 11, 7, 12, 17, 22, 0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be);
        SHA1_FOUR(e0, e1, n2, 0);
        BOTH(3, m3);
        MD5_FOUR(MD5_F, 12, 13, 14, 15, 7, 12, 17, 22, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821);
        SHA1_FOUR(e1, e0, n3, 0);
        SHA1_EXPAND(n0, n1, n2, n3); SHA1_FOUR(e0, e1, n0, 0);
        EXPAND(m0, m1, m2, m3); BOTH(4, m0);
        MD5_FOUR(MD5_G, 1, 6, 11, 0, 5, 9, 14, 20, 0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa);
        SHA1_EXPAND(n1, n2, n3, n0); SHA1_FOUR(e1, e0, n1, 1);
        EXPAND(m1, m2, m3, m0); BOTH(5, m1);
        MD5_FOUR(MD5_G, 5, 10, 15, 4, 5, 9, 14, 20, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8);
        SHA1_EXPAND(n2, n3, n0, n1); SHA1_FOUR(e0, e1, n2, 1);
        EXPAND(m2, m3, m0, m1); BOTH(6, m2);
        MD5_FOUR(MD5_G, 9, 14, 3, 8, 5, 9, 14, 20, 0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed);
        SHA1_EXPAND(n3, n0, n1, n2); SHA1_FOUR(e1, e0, n3, 1);
        EXPAND(m3, m0, m1, m2); BOTH(7, m3);
        MD5_FOUR(MD5_G, 13, 2, 7, 12, 5, 9, 14, 20, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a);
        SHA1_EXPAND(n0, n1, n2, n3); SHA1_FOUR(e0, e1, n0, 1);
        SHA1_EXPAND(n1, n2, n3, n0); SHA1_FOUR(e1, e0, n1, 1);
        EXPAND(m0, m1, m2, m3); BOTH(8, m0);
        MD5_FOUR(MD5_H, 5, 8, 11, 14, 4, 11, 16, 23, 0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c);
        SHA1_EXPAND(n2, n3, n0, n1); SHA1_FOUR(e0, e1, n2, 2);
        EXPAND(m1, m2, m3, m0); BOTH(9, m1);
        MD5_FOUR(MD5_H, 1, 4, 7, 10, 4, 11, 16, 23, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70);
        SHA1_EXPAND(n3, n0, n1, n2); SHA1_FOUR(e1, e0, n3, 2);
        EXPAND(m2, m3, m0, m1); BOTH(10, m2);
        MD5_FOUR(MD5_H, 13, 0, 3, 6, 4, 11, 16, 23, 0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05);
        SHA1_EXPAND(n0, n1, n2, n3); SHA1_FOUR(e0, e1, n0, 2);
        EXPAND(m3, m0, m1, m2); BOTH(11, m3);
        MD5_FOUR(MD5_H, 9, 12, 15, 2, 4, 11, 16, 23, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665);
        SHA1_EXPAND(n1, n2, n3, n0); SHA1_FOUR(e1, e0, n1, 2);
        SHA1_EXPAND(n2, n3, n0, n1); SHA1_FOUR(e0, e1, n2, 2);
        EXPAND(m0, m1, m2, m3); BOTH(12, m0);
        MD5_FOUR(MD5_I, 0, 7, 14, 5, 6, 10, 15, 21, 0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039);
        SHA1_EXPAND(n3, n0, n1, n2); SHA1_FOUR(e1, e0, n3, 3);
        EXPAND(m1, m2, m3, m0); BOTH(13, m1);
        MD5_FOUR(MD5_I, 12, 3, 10, 1, 6, 10, 15, 21, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1);
        SHA1_EXPAND(n0, n1, n2, n3); SHA1_FOUR(e0, e1, n0, 3);
        EXPAND(m2, m3, m0, m1); BOTH(14, m2);
        MD5_FOUR(MD5_I, 8, 15, 6, 13, 6, 10, 15, 21, 0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1);
        SHA1_EXPAND(n1, n2, n3, n0); SHA1_FOUR(e1, e0, n1, 3);
        EXPAND(m3, m0, m1, m2); BOTH(15, m3);
        MD5_FOUR(MD5_I, 4, 11, 2, 9, 6, 10, 15, 21, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391);
        SHA1_EXPAND(n2, n3, n0, n1); SHA1_FOUR(e0, e1, n2, 3);
        SHA1_EXPAND(n3, n0, n1, n2); SHA1_FOUR(e1, e0, n3, 3);
        tar.abef = _mm_add_epi32(tar.abef, old_tar.abef);
        tar.cdgh = _mm_add_epi32(tar.cdgh, old_tar.cdgh);
        file.abef = _mm_add_epi32(file.abef, old_file.abef);
        file.cdgh = _mm_add_epi32(file.cdgh, old_file.cdgh);
        e0 = _mm_sha1nexte_epu32(e0, old_e);
        abcd = _mm_add_epi32(abcd, old);
        a += old_md5[0];
        b += old_md5[1];
        c += old_md5[2];
        d += old_md5[3];
    }
    pair_store(s->tar, tar);
    pair_store(s->file, file);
    _mm_storeu_si128((__m128i *)s->sha1, _mm_shuffle_epi32(abcd, 0x1B));
    s->sha1[4] = (uint32_t)_mm_extract_epi32(e0, 3);
    s->md5[0] = a;
    s->md5[1] = b;
    s->md5[2] = c;
    s->md5[3] = d;
}

static void whole_blocks(State *s, const uint8_t *data, size_t blocks) {
    if (!s->open) sha256_one(s->tar, data, blocks);
    else if (s->open & CHECK) checked_blocks(s, data, blocks);
    else sha256_two(s->tar, s->file, data, blocks);
}

static void take(State *s, const uint8_t *data, size_t size) {
    s->tar_size += size;
    if (s->open) s->file_size += size;
    if (s->held) {
        size_t part = 64 - s->held < size ? 64 - s->held : size;
        memcpy(s->block + s->held, data, part);
        s->held += (uint32_t)part;
        data += part;
        size -= part;
        if (s->held < 64) return;
        whole_blocks(s, s->block, 1);
        s->held = 0;
    }
    whole_blocks(s, data, size / 64);
    memcpy(s->block, data + (size & ~(size_t)63), size & 63);
    s->held = size & 63;
}

/* The last blocks of a message of `size` bytes, of which `held` are in `block`: their number. */
static size_t padded(uint8_t out[128], const State *s, uint64_t size, int big_endian) {
    size_t blocks = s->held < 56 ? 1 : 2;
    memset(out, 0, 128);
    memcpy(out, s->block, s->held);
    out[s->held] = 0x80;
    uint64_t bits = size * 8;
    for (int i = 0; i < 8; i++)
        out[64 * blocks - 8 + i] = (uint8_t)(bits >> (big_endian ? 56 - 8 * i : 8 * i));
    return blocks;
}

static void big_endian(uint8_t *out, const uint32_t *words, int count) {
    for (int i = 0; i < count; i++)
        for (int j = 0; j < 4; j++) out[4 * i + j] = (uint8_t)(words[i] >> (24 - 8 * j));
}

/* `checks` is where MD5 and SHA-1 go, if they were asked for. */
static void end_file(State *s, uint8_t out[SHA256], uint8_t checks[CHECKS]) {
    uint8_t last[128];
    size_t blocks = padded(last, s, s->file_size, 1);
    sha256_one(s->file, last, blocks);
    big_endian(out, s->file, 8);
    if (s->open & CHECK) {
        for (size_t i = 0; i < blocks; i++) sha1_block(s->sha1, last + 64 * i);
        big_endian(checks + MD5, s->sha1, 5);
        blocks = padded(last, s, s->file_size, 0);
        for (size_t i = 0; i < blocks; i++) md5_block(s->md5, last + 64 * i);
        memcpy(checks, s->md5, MD5);
    }
    s->open = 0;
}

void lp_start(State *s) {
    memset(s, 0, sizeof *s);
    memcpy(s->tar, IV256, sizeof IV256);
}

/* data[from:to] are the next bytes of the tar. `spans` are triples (start, stop, flags) within
 * them, in order: file data, of which BEGIN and END say whether it is the start and the end of a
 * file. Each END writes 32 bytes to `out`, and with CHECK 36 bytes to `checks`; both have room for
 * `count` files. Returns how many files ended, plus 2^32 times how many of them with CHECK; or -1
 * for spans that are none, and the state is then void. */
int64_t lp_update(State *s, const uint8_t *data, size_t from, size_t to, const uint32_t *spans,
                  size_t count, uint8_t *out, uint8_t *checks) {
    size_t position = from;
    int64_t ended = 0;
    for (size_t i = 0; i < count; i++) {
        size_t start = spans[3 * i], stop = spans[3 * i + 1];
        uint32_t flags = spans[3 * i + 2];
        if (start < position || stop < start || stop > to) return -1;
        if (!(flags & BEGIN) != !!s->open) return -1; /* begins while none is open, else goes on */
        if (!s->open) take(s, data + position, start - position);
        else if (start != position) return -1;
        if (flags & BEGIN) {
            if (s->held) return -1; /* not on the common grid */
            memcpy(s->file, IV256, sizeof IV256);
            memcpy(s->sha1, IV1, sizeof IV1);
            memcpy(s->md5, IV1, sizeof s->md5); /* the first four words are MD5's too */
            s->file_size = 0;
            s->open = 1 | (flags & CHECK);
        }
        take(s, data + start, stop - start);
        position = stop;
        if (flags & END) {
            int checked = s->open & CHECK;
            end_file(s, out, checks);
            out += SHA256;
            ended++;
            if (checked) {
                checks += CHECKS;
                ended += (int64_t)1 << 32;
            }
        }
    }
    if (s->open) return position == to ? ended : -1;
    take(s, data + position, to - position);
    return ended;
}

/* The SHA-256 of all that came, 32 bytes. The state stays as it is. */
void lp_digest(const State *s, uint8_t *out) {
    uint8_t last[128];
    uint32_t tar[8];
    memcpy(tar, s->tar, sizeof tar);
    sha256_one(tar, last, padded(last, s, s->tar_size, 1));
    big_endian(out, tar, 8);
}

#else

int lp_supported(void) { return 0; }
void lp_start(State *s) { (void)s; }
int64_t lp_update(State *s, const uint8_t *data, size_t from, size_t to, const uint32_t *spans,
                  size_t count, uint8_t *out, uint8_t *checks) {
    (void)s, (void)data, (void)from, (void)to, (void)spans, (void)count, (void)out, (void)checks;
    return -1;
}
void lp_digest(const State *s, uint8_t *out) { (void)s, (void)out; }

#endif
