/* mdlrun_plot.c -- curves of losses, and a confusion matrix, as PNG: axes with round numbers, a grid, the training's line, the test's line with dots, a
 * legend. Drawn by coverage: a pixel takes as much of the colour as the shape covers of it, from the distance to the shape's
 * edge. */
#include "runtime/mdlrun.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    WIDTH = 960,
    HEIGHT = 600,
    LEFT = 96,
    RIGHT = 936,
    TOP = 56,
    BOTTOM = 536,
    LETTER = 12 /* a letter with its gap, at scale 2 */
};

typedef struct Color {
    unsigned char r, g, b;
} Color;

static const Color black = {40, 40, 46}, gray = {226, 226, 230}, palette[] = {{31, 103, 178}, {214, 85, 30}, {46, 139, 87}, {130, 80, 160}, {90, 90, 90}};

/* Letters of 5 by 8 dots, ASCII 32 to 126: five columns each, the lowest bit on top. */
static const unsigned char font[95][5] = {
    {0x00, 0x00, 0x00, 0x00, 0x00}, {0x00, 0x00, 0x5f, 0x00, 0x00}, {0x00, 0x07, 0x00, 0x07, 0x00},
    {0x14, 0x7f, 0x14, 0x7f, 0x14}, {0x24, 0x2a, 0x7f, 0x2a, 0x12}, {0x23, 0x13, 0x08, 0x64, 0x62},
    {0x36, 0x49, 0x56, 0x20, 0x50}, {0x00, 0x08, 0x07, 0x03, 0x00}, {0x00, 0x1c, 0x22, 0x41, 0x00},
    {0x00, 0x41, 0x22, 0x1c, 0x00}, {0x2a, 0x1c, 0x7f, 0x1c, 0x2a}, {0x08, 0x08, 0x3e, 0x08, 0x08},
    {0x00, 0x80, 0x70, 0x30, 0x00}, {0x08, 0x08, 0x08, 0x08, 0x08}, {0x00, 0x00, 0x60, 0x60, 0x00},
    {0x20, 0x10, 0x08, 0x04, 0x02}, {0x3e, 0x51, 0x49, 0x45, 0x3e}, {0x00, 0x42, 0x7f, 0x40, 0x00},
    {0x72, 0x49, 0x49, 0x49, 0x46}, {0x21, 0x41, 0x49, 0x4d, 0x33}, {0x18, 0x14, 0x12, 0x7f, 0x10},
    {0x27, 0x45, 0x45, 0x45, 0x39}, {0x3c, 0x4a, 0x49, 0x49, 0x31}, {0x41, 0x21, 0x11, 0x09, 0x07},
    {0x36, 0x49, 0x49, 0x49, 0x36}, {0x46, 0x49, 0x49, 0x29, 0x1e}, {0x00, 0x00, 0x14, 0x00, 0x00},
    {0x00, 0x40, 0x34, 0x00, 0x00}, {0x00, 0x08, 0x14, 0x22, 0x41}, {0x14, 0x14, 0x14, 0x14, 0x14},
    {0x00, 0x41, 0x22, 0x14, 0x08}, {0x02, 0x01, 0x59, 0x09, 0x06}, {0x3e, 0x41, 0x5d, 0x59, 0x4e},
    {0x7c, 0x12, 0x11, 0x12, 0x7c}, {0x7f, 0x49, 0x49, 0x49, 0x36}, {0x3e, 0x41, 0x41, 0x41, 0x22},
    {0x7f, 0x41, 0x41, 0x41, 0x3e}, {0x7f, 0x49, 0x49, 0x49, 0x41}, {0x7f, 0x09, 0x09, 0x09, 0x01},
    {0x3e, 0x41, 0x41, 0x51, 0x73}, {0x7f, 0x08, 0x08, 0x08, 0x7f}, {0x00, 0x41, 0x7f, 0x41, 0x00},
    {0x20, 0x40, 0x41, 0x3f, 0x01}, {0x7f, 0x08, 0x14, 0x22, 0x41}, {0x7f, 0x40, 0x40, 0x40, 0x40},
    {0x7f, 0x02, 0x1c, 0x02, 0x7f}, {0x7f, 0x04, 0x08, 0x10, 0x7f}, {0x3e, 0x41, 0x41, 0x41, 0x3e},
    {0x7f, 0x09, 0x09, 0x09, 0x06}, {0x3e, 0x41, 0x51, 0x21, 0x5e}, {0x7f, 0x09, 0x19, 0x29, 0x46},
    {0x26, 0x49, 0x49, 0x49, 0x32}, {0x03, 0x01, 0x7f, 0x01, 0x03}, {0x3f, 0x40, 0x40, 0x40, 0x3f},
    {0x1f, 0x20, 0x40, 0x20, 0x1f}, {0x3f, 0x40, 0x38, 0x40, 0x3f}, {0x63, 0x14, 0x08, 0x14, 0x63},
    {0x03, 0x04, 0x78, 0x04, 0x03}, {0x61, 0x59, 0x49, 0x4d, 0x43}, {0x00, 0x7f, 0x41, 0x41, 0x41},
    {0x02, 0x04, 0x08, 0x10, 0x20}, {0x00, 0x41, 0x41, 0x41, 0x7f}, {0x04, 0x02, 0x01, 0x02, 0x04},
    {0x40, 0x40, 0x40, 0x40, 0x40}, {0x00, 0x03, 0x07, 0x08, 0x00}, {0x20, 0x54, 0x54, 0x78, 0x40},
    {0x7f, 0x28, 0x44, 0x44, 0x38}, {0x38, 0x44, 0x44, 0x44, 0x28}, {0x38, 0x44, 0x44, 0x28, 0x7f},
    {0x38, 0x54, 0x54, 0x54, 0x18}, {0x00, 0x08, 0x7e, 0x09, 0x02}, {0x18, 0xa4, 0xa4, 0x9c, 0x78},
    {0x7f, 0x08, 0x04, 0x04, 0x78}, {0x00, 0x44, 0x7d, 0x40, 0x00}, {0x20, 0x40, 0x40, 0x3d, 0x00},
    {0x7f, 0x10, 0x28, 0x44, 0x00}, {0x00, 0x41, 0x7f, 0x40, 0x00}, {0x7c, 0x04, 0x78, 0x04, 0x78},
    {0x7c, 0x08, 0x04, 0x04, 0x78}, {0x38, 0x44, 0x44, 0x44, 0x38}, {0xfc, 0x18, 0x24, 0x24, 0x18},
    {0x18, 0x24, 0x24, 0x18, 0xfc}, {0x7c, 0x08, 0x04, 0x04, 0x08}, {0x48, 0x54, 0x54, 0x54, 0x24},
    {0x04, 0x04, 0x3f, 0x44, 0x24}, {0x3c, 0x40, 0x40, 0x20, 0x7c}, {0x1c, 0x20, 0x40, 0x20, 0x1c},
    {0x3c, 0x40, 0x30, 0x40, 0x3c}, {0x44, 0x28, 0x10, 0x28, 0x44}, {0x4c, 0x90, 0x90, 0x90, 0x7c},
    {0x44, 0x64, 0x54, 0x4c, 0x44}, {0x00, 0x08, 0x36, 0x41, 0x00}, {0x00, 0x00, 0x77, 0x00, 0x00},
    {0x00, 0x41, 0x36, 0x08, 0x00}, {0x02, 0x01, 0x02, 0x04, 0x02},
};

typedef struct Canvas {
    unsigned char *pixels; /* width * height * 3 */
    int width, height;
} Canvas;

static Canvas canvas_new(Tool *t, int width, int height) {
    Canvas c = {tool_alloc(t, 3 * (size_t)width * (size_t)height), width, height};
    memset(c.pixels, 255, 3 * (size_t)width * (size_t)height);
    return c;
}

static void blend(Canvas *c, int x, int y, Color color, double cover) {
    if (x < 0 || y < 0 || x >= c->width || y >= c->height || cover <= 0) return;
    if (cover > 1) cover = 1;
    unsigned char *p = c->pixels + 3 * ((size_t)y * (size_t)c->width + (size_t)x);
    p[0] = (unsigned char)lround(p[0] + (color.r - p[0]) * cover);
    p[1] = (unsigned char)lround(p[1] + (color.g - p[1]) * cover);
    p[2] = (unsigned char)lround(p[2] + (color.b - p[2]) * cover);
}

/* A line with round ends; equal ends make a dot. Coordinates of pixel centres. */
static void line(Canvas *c, double x0, double y0, double x1, double y1, double width, Color color) {
    double dx = x1 - x0, dy = y1 - y0, length2 = dx * dx + dy * dy, reach = width / 2 + 1;
    int left = (int)floor(fmin(x0, x1) - reach), right = (int)ceil(fmax(x0, x1) + reach);
    int top = (int)floor(fmin(y0, y1) - reach), bottom = (int)ceil(fmax(y0, y1) + reach);
    for (int y = top; y <= bottom; y++) {
        for (int x = left; x <= right; x++) {
            double along = length2 > 0 ? ((x - x0) * dx + (y - y0) * dy) / length2 : 0;
            along = along < 0 ? 0 : along > 1 ? 1 : along;
            double distance = hypot(x - x0 - along * dx, y - y0 - along * dy);
            blend(c, x, y, color, width / 2 + 0.5 - distance);
        }
    }
}

static void text(Canvas *c, int x, int y, const char *letters, Color color) {
    for (; *letters; letters++, x += LETTER) {
        int code = (unsigned char)*letters;
        if (code < 32 || code > 126) code = '?';
        for (int column = 0; column < 5; column++) {
            for (int row = 0; row < 8; row++) {
                if (!(font[code - 32][column] >> row & 1)) continue;
                for (int k = 0; k < 4; k++) blend(c, x + 2 * column + k % 2, y + 2 * row + k / 2, color, 1);
            }
        }
    }
}

/* 1, 2 or 5 times a power of ten, so that about `wanted` steps fill the range. */
static double nice_step(double range, int wanted) {
    double raw = range / wanted, power = pow(10, floor(log10(raw))), lead = raw / power;
    return power * (lead <= 1 ? 1 : lead <= 2 ? 2 : lead <= 5 ? 5 : 10);
}

typedef struct Axes {
    double x0, x1, y0, y1;
} Axes;

static double x_of(const Axes *a, double x) {
    return LEFT + (x - a->x0) / (a->x1 - a->x0) * (RIGHT - LEFT);
}
static double y_of(const Axes *a, double y) {
    return BOTTOM - (y - a->y0) / (a->y1 - a->y0) * (BOTTOM - TOP);
}

/* The range of all finite points; the y axis begins and ends at round numbers. */
static Axes axes_fit(const Curve *curves, int n, double *x_step, double *y_step) {
    Axes a = {INFINITY, -INFINITY, INFINITY, -INFINITY};
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < curves[i].n; k++) {
            if (!isfinite(curves[i].y[k])) continue;
            a.x0 = fmin(a.x0, curves[i].x[k]);
            a.x1 = fmax(a.x1, curves[i].x[k]);
            a.y0 = fmin(a.y0, curves[i].y[k]);
            a.y1 = fmax(a.y1, curves[i].y[k]);
        }
    }
    if (!(a.x0 <= a.x1)) a = (Axes){0, 1, 0, 1}; /* no point at all */
    if (a.x0 < 0.2 * a.x1) a.x0 = 0;
    if (a.x1 - a.x0 < 1) a.x1 = a.x0 + 1;
    double least = 1e-9 * fmax(1e-30, fabs(a.y1));
    if (a.y1 - a.y0 < least) {
        a.y0 -= 0.5 * fmax(fabs(a.y0), 1e-3);
        a.y1 += 0.5 * fmax(fabs(a.y1), 1e-3);
    }
    *x_step = nice_step(a.x1 - a.x0, 8);
    *y_step = nice_step(a.y1 - a.y0, 7);
    a.y0 = floor(a.y0 / *y_step) * *y_step;
    a.y1 = ceil(a.y1 / *y_step) * *y_step;
    return a;
}

static void axes_draw(Canvas *c, const Axes *a, double x_step, double y_step, const char *title) {
    char label[32];
    for (double i = ceil(a->x0 / x_step - 1e-9) + 0.0; i * x_step <= a->x1 * (1 + 1e-9); i++) {
        int x = (int)lround(x_of(a, i * x_step));
        line(c, x, TOP, x, BOTTOM, 1, gray);
        snprintf(label, sizeof label, "%.10g", i * x_step + 0.0);
        text(c, x - (int)strlen(label) * LETTER / 2, BOTTOM + 10, label, black);
    }
    for (double i = lround(a->y0 / y_step); i <= a->y1 / y_step + 1e-6; i++) {
        int y = (int)lround(y_of(a, i * y_step));
        line(c, LEFT, y, RIGHT, y, 1, gray);
        snprintf(label, sizeof label, "%.6g", fabs(i * y_step) < 1e-12 * y_step ? 0.0 : i * y_step);
        text(c, LEFT - 10 - (int)strlen(label) * LETTER, y - 7, label, black);
    }
    line(c, LEFT, BOTTOM, RIGHT, BOTTOM, 1.5, black);
    line(c, LEFT, TOP, LEFT, BOTTOM, 1.5, black);
    text(c, LEFT, 20, title, black);
    text(c, (LEFT + RIGHT) / 2 - 2 * LETTER, BOTTOM + 38, "step", black);
}

static void curve_draw(Canvas *c, const Axes *a, const Curve *curve, Color color, bool dots) {
    for (int k = 0; k < curve->n; k++) {
        if (!isfinite(curve->y[k])) continue;
        double x = x_of(a, curve->x[k]), y = y_of(a, curve->y[k]);
        if (k && isfinite(curve->y[k - 1])) line(c, x_of(a, curve->x[k - 1]), y_of(a, curve->y[k - 1]), x, y, 2.2, color);
        if (dots || curve->n == 1) line(c, x, y, x, y, 7, color);
    }
}

void plot_write(Tool *t, const char *path, const char *title, const Curve *curves, int n) {
    Canvas c = canvas_new(t, WIDTH, HEIGHT);
    double x_step, y_step;
    Axes a = axes_fit(curves, n, &x_step, &y_step);
    axes_draw(&c, &a, x_step, y_step, title);
    for (int i = 0; i < n; i++) {
        Color color = palette[i % (int)(sizeof palette / sizeof *palette)];
        bool dots = curves[i].dots;
        curve_draw(&c, &a, &curves[i], color, dots);
        int y = TOP + 14 + 24 * i, x = RIGHT - 20 - 8 * LETTER;
        line(&c, x - 40, y + 7, x - 12, y + 7, dots ? 3 : 2.2, color);
        if (dots) line(&c, x - 26, y + 7, x - 26, y + 7, 7, color);
        text(&c, x, y, curves[i].name, black);
    }
    png_store(t, path, c.pixels, WIDTH, HEIGHT);
    tool_release(t, c.pixels);
}

/* ---- a confusion matrix -------------------------------------------------------------------------------------------------- */

/* Rows are true labels, columns predicted ones; a cell is as dark as its share of the row, and says its count where there is
 * room. */
void plot_confusion(Tool *t, const char *path, const char *title, const int64_t *counts, int classes) {
    int cell = classes <= 12 ? 64 : classes <= 24 ? 32 : 12, side = classes * cell;
    bool numbers = cell >= 32;
    int64_t all = 0, right = 0;
    for (int i = 0; i < classes * classes; i++) all += counts[i];
    for (int i = 0; i < classes; i++) right += counts[i * classes + i];
    Canvas c = canvas_new(t, LEFT + side + 40, TOP + side + 72);
    for (int row = 0; row < classes; row++) {
        int64_t sum = 0;
        for (int k = 0; k < classes; k++) sum += counts[row * classes + k];
        for (int column = 0; column < classes; column++) {
            int64_t count = counts[row * classes + column];
            double share = sum ? (double)count / (double)sum : 0;
            int x = LEFT + column * cell, y = TOP + row * cell;
            for (int p = 0; p < (cell - 1) * (cell - 1); p++) /* the square root keeps rare mistakes visible */
                blend(&c, x + p % (cell - 1), y + p / (cell - 1), palette[0], 0.04 + 0.96 * sqrt(share));
            char label[32];
            snprintf(label, sizeof label, "%lld", (long long)count);
            int width = (int)strlen(label) * LETTER;
            Color white = {255, 255, 255};
            if (numbers && count && width <= cell) text(&c, x + (cell - width) / 2, y + cell / 2 - 8, label, share > 0.3 ? white : black);
        }
        char label[16];
        snprintf(label, sizeof label, "%d", row);
        if (!numbers && row % 5) continue;
        text(&c, LEFT - 10 - (int)strlen(label) * LETTER, TOP + row * cell + cell / 2 - 8, label, black);
        text(&c, LEFT + row * cell + cell / 2 - (int)strlen(label) * LETTER / 2, TOP + side + 8, label, black);
    }
    text(&c, LEFT, 20, tool_printf(t, "%s: %lld of %lld", title, (long long)right, (long long)all), black);
    text(&c, 8, TOP + side / 2 - 8, "true", black);
    text(&c, LEFT + side / 2 - 4 * LETTER, TOP + side + 36, "predicted", black);
    png_store(t, path, c.pixels, c.width, c.height);
    tool_release(t, c.pixels);
}
