/* Signs of a context, and one layer y = W (C_k x) + b that holds many models, in C99.
   The signs are bits of Philox-4x64 with ten rounds; nothing per model is stored. */
#include <stdint.h>

static uint64_t multiply(uint64_t a, uint64_t b, uint64_t *high) {
    uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    uint64_t middle = a1 * b0 + (a0 * b0 >> 32), other = a0 * b1 + (uint32_t)middle;
    *high = a1 * b1 + (middle >> 32) + (other >> 32);
    return a * b;
}

static uint64_t word(const uint64_t key[2], uint64_t context, uint64_t index) {
    uint64_t c[4] = {index / 4 + 1, 0, 0, context}, k0 = key[0], k1 = key[1], h0, h1;
    for (int round = 0; round < 10; round++) {
        uint64_t l0 = multiply(UINT64_C(0xD2E7470EE14C6C93), c[0], &h0);
        uint64_t l1 = multiply(UINT64_C(0xCA5A826395121157), c[2], &h1);
        c[0] = h1 ^ c[1] ^ k0, c[1] = l1, c[2] = h0 ^ c[3] ^ k1, c[3] = l0;
        k0 += UINT64_C(0x9E3779B97F4A7C15), k1 += UINT64_C(0xBB67AE8584CAA73B);
    }
    return c[index % 4];
}

void layer(const uint64_t key[2], uint64_t context, int in, int out, const float *weight,
           const float *bias, const float *x, float *y) {
    for (int o = 0; o < out; o++) y[o] = bias[o];
    for (int i = 0; i < in; i++) {
        float bound = word(key, context, i / 64) >> i % 64 & 1 ? -x[i] : x[i];
        for (int o = 0; o < out; o++) y[o] += weight[o * in + i] * bound;
    }
}
