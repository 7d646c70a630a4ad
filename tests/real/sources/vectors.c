// Vectors written out, and loops that the compiler makes vectors of.
#include <stdint.h>
#include <stdio.h>
#include <wasm_simd128.h>

#define SIZE 512

static uint8_t image[SIZE + 16];
static float wave[SIZE];
static int32_t sums[SIZE];

// Sixteen bytes at a time: the brightest of each and its neighbours.
static void brighten(void) {
  for (int i = 1; i + 17 < SIZE; i += 16) {
    v128_t here = wasm_v128_load(image + i);
    v128_t before = wasm_v128_load(image + i - 1);
    v128_t after = wasm_v128_load(image + i + 1);
    v128_t most = wasm_u8x16_max(here, wasm_u8x16_max(before, after));
    wasm_v128_store(image + i, wasm_u8x16_add_sat(most, wasm_u8x16_splat(3)));
  }
}

// How many hexadecimal digits are letters, by a table in a vector.
static int letters(void) {
  v128_t digits = wasm_i8x16_make('0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c',
                                  'd', 'e', 'f');
  int count = 0;
  for (int i = 0; i < SIZE; i += 16) {
    v128_t low = wasm_v128_and(wasm_v128_load(image + i), wasm_u8x16_splat(15));
    v128_t text = wasm_i8x16_swizzle(digits, low);
    count += __builtin_popcount(wasm_i8x16_bitmask(wasm_u8x16_ge(text, wasm_u8x16_splat('a'))));
  }
  return count;
}

static float energy(void) {
  v128_t sum = wasm_f32x4_splat(0);
  for (int i = 0; i < SIZE; i += 4) {
    v128_t some = wasm_v128_load(wave + i);
    sum = wasm_f32x4_add(sum, wasm_f32x4_mul(some, some));
  }
  return wasm_f32x4_extract_lane(sum, 0) + wasm_f32x4_extract_lane(sum, 1) +
         wasm_f32x4_extract_lane(sum, 2) + wasm_f32x4_extract_lane(sum, 3);
}

int main(void) {
  for (int i = 0; i < SIZE; i++) {
    image[i] = (uint8_t)(i * 37 + (i >> 3));
    wave[i] = (float)(i % 29) / 4 - 3;
    sums[i] = i * i - 1000 * i;
  }
  for (int round = 0; round < 20; round++) {
    brighten();
    for (int i = 0; i < SIZE; i++) {
      wave[i] = wave[i] * 0.75f + 1;
      sums[i] = (sums[i] ^ round) * 3 + image[i];
    }
    if (round % 5 == 0)
      printf("%d: %d letters, energy %.4f\n", round, letters(), energy());
  }
  int64_t total = 0;
  for (int i = 0; i < SIZE; i++)
    total += sums[i] < 0 ? -sums[i] : sums[i];
  printf("total %lld\n", (long long)total);
  return 0;
}
