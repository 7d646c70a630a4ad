/* Points of the plane against the Mandelbrot set, in f32: each operation is rounded. */
#define EXPORT(name) __attribute__((export_name(name)))
#define ROUNDS 50

/* How many steps `points` pseudo-random points take to escape, 50 for those that do not. */
EXPORT("escape") unsigned escape(unsigned points) {
    unsigned seed = 7, sum = 0;
    while (points--) {
        seed = seed * 1664525 + 1013904223;
        float cx = (float)(seed >> 8) * (3.0f / 16777216.0f) - 2.25f;
        seed = seed * 1664525 + 1013904223;
        float cy = (float)(seed >> 8) * (2.5f / 16777216.0f) - 1.25f;
        float x = 0, y = 0;
        int steps = 0;
        while (steps < ROUNDS) {
            float xx = x * x, yy = y * y;
            if (xx + yy > 4.0f) break;
            y = 2.0f * x * y + cy;
            x = xx - yy + cx;
            steps++;
        }
        sum += steps;
    }
    return sum;
}
