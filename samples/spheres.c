/* A picture in characters, painted line by line: `spheres [RAYS [COLUMNS]]`.
 *
 * Three spheres on a floor under an evening sky, one of them a mirror. The light that reaches each
 * character is the mean of RAYS paths, each followed from surface to surface until it leaves the
 * scene: some seconds of work for machine code, ten minutes and more for Python. The paths are random, by a
 * generator whose state runs through the whole picture: stopped in the middle and continued
 * elsewhere, it must be the same picture to the last character. */
#include <stdio.h>
#include <stdlib.h>

typedef struct {
    double x, y, z;
} vec;

typedef struct {
    vec centre;
    double radius, albedo;
    int mirror;
} sphere;

static const sphere scene[] = {
    {{0, -1000, 0}, 1000, 0.75, 0},
    {{-1.35, 1, 0.6}, 1, 0.85, 0},
    {{0.95, 1.1, -0.2}, 1.1, 0.9, 1},
    {{-0.15, 0.45, -1.7}, 0.45, 0.35, 0},
};
static const char shades[] = " .,:;-~=+*oxaXO#%&@";

static unsigned long long state = 0x9E3779B97F4A7C15;

/* In [0, 1). */
static double random_unit(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (state >> 11) * 0x1p-53;
}

static vec sum(vec a, vec b) { return (vec){a.x + b.x, a.y + b.y, a.z + b.z}; }
static vec times(vec a, double k) { return (vec){a.x * k, a.y * k, a.z * k}; }
static double dot(vec a, vec b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
static vec normal(vec a) { return times(a, 1 / __builtin_sqrt(dot(a, a))); }

static vec random_direction(void) {
    for (;;) {
        vec v = {2 * random_unit() - 1, 2 * random_unit() - 1, 2 * random_unit() - 1};
        double length = dot(v, v);
        if (length > 1e-6 && length <= 1) return times(v, 1 / __builtin_sqrt(length));
    }
}

/* The sphere that a ray meets first, or -1, and how far away. */
__attribute__((noinline)) static int meet(vec from, vec ray, double *distance) {
    int found = -1;
    double nearest = 1e9;
    for (int i = 0; i < 4; i++) {
        vec to = sum(scene[i].centre, times(from, -1));
        double along = dot(to, ray);
        double inside = along * along - dot(to, to) + scene[i].radius * scene[i].radius;
        if (inside < 0) continue;
        double root = __builtin_sqrt(inside);
        double t = along - root > 1e-4 ? along - root : along + root;
        if (t > 1e-4 && t < nearest) {
            nearest = t;
            found = i;
        }
    }
    *distance = nearest;
    return found;
}

/* Dark above, bright at the horizon, brightest where the sun is. */
static double sky(vec ray) {
    static const vec sun = {-0.66, 0.6, -0.45};
    double height = ray.y > 0 ? 1 - ray.y : 1;
    double towards = dot(ray, sun);
    towards = towards > 0 ? towards * towards : 0;
    return 0.5 * height * height * height * height + 3.2 * towards * towards;
}

static double light(vec from, vec ray) {
    double left = 1;
    for (int bounce = 0; bounce < 8; bounce++) {
        double t;
        int i = meet(from, ray, &t);
        if (i < 0) return left * sky(ray);
        from = sum(from, times(ray, t));
        vec up = normal(sum(from, times(scene[i].centre, -1)));
        left *= scene[i].albedo;
        if (i == 0 && ((int)(from.x + 1000) + (int)(from.z + 1000)) % 2) left *= 0.3;
        if (scene[i].mirror)
            ray = sum(ray, times(up, -2 * dot(ray, up)));
        else
            ray = normal(sum(up, random_direction()));
    }
    return 0;
}

int main(int argc, char **argv) {
    int rays = argc > 1 ? atoi(argv[1]) : 10000;
    int columns = argc > 2 ? atoi(argv[2]) : 76;
    int lines = columns * 13 / 32;
    for (int line = 0; line < lines; line++) {
        for (int column = 0; column < columns; column++) {
            double all = 0;
            for (int i = 0; i < rays; i++) {
                double x = (column + random_unit()) / columns - 0.5;
                double y = 0.5 - (line + random_unit()) / lines;
                vec ray = normal((vec){1.3 * x, 1.04 * y - 0.12, 1});
                all += light((vec){0, 1.45, -4.6}, ray);
            }
            double shade = __builtin_sqrt(all / rays) * 17;
            putchar(shades[shade < 18 ? (int)shade : 18]);
        }
        putchar('\n');
        fflush(stdout);
    }
    return 0;
}
