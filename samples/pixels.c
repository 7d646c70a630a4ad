/* Loops that the compiler makes vectors of (it is built for SIMD): two pictures of bytes are mixed, and
 * a line of floats is smoothed. The results are sums of what comes out. */
#define EXPORT(name) __attribute__((export_name(name)))
#define PIXELS 4096
#define POINTS 1024

typedef unsigned char u8;
typedef unsigned u32;

static u8 above[PIXELS], below[PIXELS];
static float line[POINTS + 2], next[POINTS + 2];

static void paint(u32 seed) {
  for (int i = 0; i < PIXELS; i++) {
    seed = seed * 1664525 + 1013904223;
    above[i] = seed >> 24;
    below[i] = seed >> 16;
  }
}

/* A round brightens one picture by the other, as far as a byte goes, and mixes them. */
EXPORT("blend") u32 blend(int rounds) {
  paint(1);
  for (int round = 0; round < rounds; round++)
    for (int i = 0; i < PIXELS; i++) {
      int sum = above[i] + below[i];
      u8 bright = sum > 255 ? 255 : sum;
      below[i] = (above[i] + bright + 1) >> 1;
      above[i] = bright ^ (u8)round;
    }
  u32 sum = 0;
  for (int i = 0; i < PIXELS; i++) sum = sum * 31 + above[i] + below[i];
  return sum;
}

EXPORT("smooth") float smooth(int rounds) {
  for (int i = 0; i < POINTS + 2; i++) line[i] = (float)(i * 37 % 101) * 0.25f;
  for (int round = 0; round < rounds; round++) {
    for (int i = 1; i <= POINTS; i++) next[i] = (line[i - 1] + 2.0f * line[i] + line[i + 1]) * 0.25f;
    for (int i = 1; i <= POINTS; i++) line[i] = next[i] > 20.0f ? 20.0f : next[i];
  }
  float sum = 0;
  for (int i = 1; i <= POINTS; i++) sum += line[i];
  return sum;
}
