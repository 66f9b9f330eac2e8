// SPDX-License-Identifier: Apache-2.0
//
// flags: -lm
//
// plot DIRECTORY: draws host.svg, scale.svg and guests.svg from build/bench/results.jsonl.
#define _GNU_SOURCE
#include <math.h>

#include "bench/result.h"

static struct results results;
static FILE *out;

#define BLUE "#0072b2"
#define SKY "#56b4e9"
#define ORANGE "#e69f00"
#define GREEN "#009e73"
#define PURPLE "#cc79a7"
#define GREY "#9a9a9a"
#define RED "#c0392b"

// ---- SVG

static void begin(const char *directory, const char *name, double width, double height)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    out = fopen(path, "w");
    if (out == NULL) {
        fprintf(stderr, "plot: cannot write %s\n", path);
        exit(1);
    }
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" "
            "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
            width, height, width, height);
}

static void end(void)
{
    fprintf(out, "</svg>\n");
    if (fclose(out) != 0)
        exit(1);
}

// anchor: start, middle or end
static void text(double x, double y, const char *anchor, const char *style, const char *what)
{
    fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" %s>%s</text>\n", x, y, anchor, style, what);
}

static void bar(double x, double y, double width, double height, const char *colour)
{
    fprintf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>\n", x, y, width, height, colour);
}

static void line(double x1, double y1, double x2, double y2, const char *style)
{
    fprintf(out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" %s/>\n", x1, y1, x2, y2, style);
}

// 1500 as "1.5k", 12.3 as "12.3", 40 as "40"
static const char *number(double value)
{
    static char words[8][32];
    static unsigned next;
    char *word = words[next++ % 8];
    const char *unit = "";
    if (value >= 1e6)
        value /= 1e6, unit = "M";
    else if (value >= 10000)
        value /= 1000, unit = "k";
    snprintf(word, sizeof words[0], fabs(value - round(value)) < 0.05 ? "%.0f%s" : "%.1f%s", value, unit);
    return word;
}

struct key {
    const char *title, *colour;
};

static void legend(double x, double y, const struct key *keys, int n)
{
    for (int i = 0; i < n; i++) {
        bar(x, y - 10, 12, 12, keys[i].colour);
        text(x + 17, y, "start", "", keys[i].title);
        x += 36 + 6.3 * (double)strlen(keys[i].title);
    }
}

static double ir(const char *bench, const char *impl, const char *arch, unsigned n)
{
    return results_ir(&results, bench, impl, arch, n);
}

// ---- host.svg: bars side by side

static const struct group {
    const char *title, *bench;
    unsigned n;
    double must, rust; // negative: none
} groups[] = {
    {"run to HALT", "run_halt", 1, 24, 49},
    {"run + dispatch over 8 kinds", "run_dispatch", 1, 32, 68.9},
    {"bind + unbind", "bind_unbind", 1, 22, 36},
    {"two transitions", "transitions", 1, 11, 23},
    {"with_current", "with_current", 1, 9, 12},
    {"get_state", "get_state", 1, 5, 8},
    {"current", "current", 1, 5, 6},
    {"init, setup, bind, unbind", "init_unbind", 1, 110, 157},
    {"device lookup, last hit", "lookup_last", 16, 15, -1},
    {"device lookup among 16", "lookup", 16, 52, -1},
    {"device lookup among 1024", "lookup", 1024, 100, -1},
};
enum { GROUPS = sizeof groups / sizeof groups[0] };

enum { HOST_LEFT = 200, HOST_TOP = 66, HOST_BAR = 10, HOST_WIDTH = 900 };

// The number stands behind the bar, or behind the mark of the limit where that is in its way.
static double host_bar(double y, double value, const char *colour, double scale, double limit)
{
    double behind = (limit - value) * scale;
    if (value < 0)
        return y;
    bar(HOST_LEFT, y, value * scale, HOST_BAR - 1, colour);
    text(HOST_LEFT + (behind > -4 && behind < 26 ? limit : value) * scale + 5, y + HOST_BAR - 1.5, "start",
         "font-size=\"10\" fill=\"#333\"", number(value));
    return y + HOST_BAR;
}

static void host(const char *directory)
{
    static const struct key keys[] = {{"axvcpu.h, same file", BLUE}, {"other file", SKY}, {"by hand, unchecked", GREEN},
                                      {"Rust axvcpu 0.3.0", ORANGE}, {"limit", RED}};
    double most = 1, y = HOST_TOP, scale, height = HOST_TOP + 10;
    for (int i = 0; i < GROUPS; i++) {
        const struct group *g = &groups[i];
        most = fmax(fmax(most, g->rust), fmax(ir(g->bench, "same", "minimal", g->n), ir(g->bench, "other", "minimal", g->n)));
        height += 2 * HOST_BAR + 12 + (g->rust >= 0 ? HOST_BAR : 0) + (ir(g->bench, "bare", "minimal", g->n) >= 0 ? HOST_BAR : 0);
    }
    scale = (HOST_WIDTH - HOST_LEFT - 60) / most;
    begin(directory, "host.svg", HOST_WIDTH, height);
    text(20, 24, "start", "font-size=\"15\" font-weight=\"bold\"", "Instructions per operation, loop included");
    legend(20, 48, keys, 5);
    for (int i = 0; i < GROUPS; i++) {
        const struct group *g = &groups[i];
        double top = y;
        y = host_bar(y, ir(g->bench, "same", "minimal", g->n), BLUE, scale, g->must);
        y = host_bar(y, ir(g->bench, "other", "minimal", g->n), SKY, scale, g->must);
        line(HOST_LEFT + g->must * scale, top - 2, HOST_LEFT + g->must * scale, y + 1, "stroke=\"" RED "\" stroke-width=\"2\"");
        y = host_bar(y, ir(g->bench, "bare", "minimal", g->n), GREEN, scale, -100);
        y = host_bar(y, g->rust, ORANGE, scale, -100);
        text(HOST_LEFT - 8, (top + y) / 2 + 4, "end", "", g->title);
        y += 12;
    }
    line(HOST_LEFT, HOST_TOP - 6, HOST_LEFT, y - 6, "stroke=\"#333\"");
    end();
}

// ---- scale.svg: panels of curves over a logarithmic axis

struct curve {
    const char *title, *bench, *impl, *colour;
};

static const struct panel {
    const char *title, *x, *y;
    bool log_y, per_second;
    struct curve curves[3];
} panels[] = {
    {"Device lookup", "devices", "instructions", false, false,
     {{"another one each time", "device", "scale", GREEN}, {"last hit", "device_last", "scale", BLUE}}},
    {"vCPUs on one CPU", "vCPUs", "instructions for each", true, false,
     {{"axvm_run_vcpu in turn", "vcpu_run_vm", "scale", ORANGE}, {"from init to deinit", "vcpu_create", "scale", GREEN},
      {"run in turn", "vcpu_run", "scale", BLUE}}},
    {"Interrupts", "already pending", "instructions", false, false,
     {{"inject, find, take", "inject_take", "scale", GREEN}, {"inject again", "inject_again", "scale", BLUE}}},
    {"Memory", "mappings", "instructions", true, false,
     {{"map and unmap another", "map_unmap", "scale", GREEN}, {"axvm_ptr", "map_pointer", "scale", BLUE}}},
    {"Exits in axvm_run_vcpu, one device", "threads", "millions per second", false, true,
     {{"all threads together", "exits", "threads", BLUE}}},
};
enum { PANELS = sizeof panels / sizeof panels[0], PANEL_W = 450, PANEL_H = 290, PLOT_L = 62, PLOT_T = 44, PLOT_W = 360, PLOT_H = 176 };

struct axes {
    double x0, y0, min_n, max_n, min_v, max_v;
    bool log_y;
};

static double value_of(const struct panel *p, const struct result *r)
{
    return p->per_second ? 1000 / r->med_ns : r->ir;
}

static bool is_of(const struct curve *c, const struct result *r)
{
    return c->bench != NULL && strcmp(r->bench, c->bench) == 0 && strcmp(r->impl, c->impl) == 0;
}

static double at_x(const struct axes *a, double n)
{
    double span = log(a->max_n) - log(a->min_n);
    return a->x0 + 22 + (span > 0 ? (log(n) - log(a->min_n)) / span : 0) * (PLOT_W - 40);
}

static double at_y(const struct axes *a, double v)
{
    double part = a->log_y ? (log(v) - log(a->min_v)) / (log(a->max_v) - log(a->min_v)) : v / a->max_v;
    return a->y0 - part * PLOT_H;
}

// The next 1, 2 or 5 times a power of ten.
static double round_up(double v)
{
    double power = pow(10, floor(log10(v)));
    return v <= power ? power : v <= 2 * power ? 2 * power : v <= 5 * power ? 5 * power : 10 * power;
}

static struct axes fit(const struct panel *p, double left, double top)
{
    struct axes a = {left + PLOT_L, top + PLOT_T + PLOT_H, 1e9, 1, 1e9, 1, p->log_y};
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < results.n; i++) {
            const struct result *r = &results.row[i];
            if (!is_of(&p->curves[c], r))
                continue;
            a.min_n = fmin(a.min_n, r->n);
            a.max_n = fmax(a.max_n, r->n);
            a.min_v = fmin(a.min_v, value_of(p, r));
            a.max_v = fmax(a.max_v, value_of(p, r));
        }
    a.max_v = a.log_y ? pow(10, ceil(log10(a.max_v))) : round_up(a.max_v);
    a.min_v = pow(10, floor(log10(fmax(a.min_v, 1))));
    return a;
}

static void grid(const struct panel *p, const struct axes *a, double left, double top)
{
    text(left + PLOT_L, top + 20, "start", "font-weight=\"bold\" font-size=\"13\"", p->title);
    text(left + PLOT_L - 4, top + PLOT_T - 9, "start", "font-size=\"11\" fill=\"#555\"", p->y);
    text(left + PLOT_L + PLOT_W, a->y0 + 34, "end", "font-size=\"11\" fill=\"#555\"", p->x);
    for (double v = a->log_y ? a->min_v : 0; v <= a->max_v * 1.001; v = a->log_y ? v * 10 : v + a->max_v / 5) {
        double y = at_y(a, v);
        line(a->x0, y, a->x0 + PLOT_W, y, "stroke=\"#ddd\"");
        text(a->x0 - 6, y + 4, "end", "font-size=\"11\"", number(v));
    }
    line(a->x0, a->y0, a->x0 + PLOT_W, a->y0, "stroke=\"#333\"");
}

// The first curve's numbers stand above it, the others' below.
static void draw_curve(const struct panel *p, const struct axes *a, const struct curve *c)
{
    double beside = c == p->curves ? -7 : 15;
    fprintf(out, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"", c->colour);
    for (int i = 0; i < results.n; i++)
        if (is_of(c, &results.row[i]))
            fprintf(out, "%.1f,%.1f ", at_x(a, results.row[i].n), at_y(a, value_of(p, &results.row[i])));
    fprintf(out, "\"/>\n");
    for (int i = 0; i < results.n; i++) {
        const struct result *r = &results.row[i];
        double x = at_x(a, r->n), y = at_y(a, value_of(p, r));
        if (!is_of(c, r))
            continue;
        fprintf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n", x, y, c->colour);
        text(x, y + (y + beside > a->y0 ? -7 : beside), "middle", "font-size=\"10\" fill=\"#333\"", number(value_of(p, r)));
        text(x, a->y0 + 16, "middle", "font-size=\"11\"", number(r->n));
    }
}

// The design's limit of a lookup among n.
static void draw_limit(const struct axes *a)
{
    fprintf(out, "<polyline fill=\"none\" stroke=\"" RED "\" stroke-width=\"1.5\" stroke-dasharray=\"5 3\" points=\"");
    for (double n = a->min_n; n <= a->max_n * 1.001; n *= 10)
        fprintf(out, "%.1f,%.1f ", at_x(a, n), at_y(a, 20 + 8 * log2(n)));
    fprintf(out, "\"/>\n");
}

static void draw_panel(const struct panel *p, double left, double top)
{
    struct axes a = fit(p, left, top);
    struct key keys[4];
    int n = 0;
    if (a.max_n < a.min_n)
        return;
    grid(p, &a, left, top);
    for (int c = 0; c < 3 && p->curves[c].bench != NULL; c++) {
        draw_curve(p, &a, &p->curves[c]);
        keys[n++] = (struct key){p->curves[c].title, p->curves[c].colour};
    }
    if (strcmp(p->curves[0].bench, "device") == 0) {
        draw_limit(&a);
        keys[n++] = (struct key){"limit 20 + 8 log2 n", RED};
    }
    legend(left + 20, top + PANEL_H - 12, keys, n);
}

static void scaling(const char *directory)
{
    begin(directory, "scale.svg", 2 * PANEL_W, (PANELS + 1) / 2 * PANEL_H + 40);
    text(20, 24, "start", "font-size=\"15\" font-weight=\"bold\"", "What grows with what");
    for (int i = 0; i < PANELS; i++)
        draw_panel(&panels[i], i % 2 * PANEL_W, i / 2 * PANEL_H + 36);
    end();
}

// ---- guests.svg: stacked bars

static const struct key parts[] = {{"asm", ORANGE}, {"decode", GREEN}, {"core", BLUE}, {"dispatch", SKY}, {"firmware", PURPLE}, {"guest", "#ddd"}};
enum { PARTS = sizeof parts / sizeof parts[0], TRIP_LEFT = 250, TRIP_BAR = 18, TRIP_TOP = 62 };

static bool is_trip(const struct result *r)
{
    return strcmp(r->arch, "minimal") != 0 && strchr(r->bench, '.') == NULL;
}

// The design's number; on KVM so much above the bare ioctl loop beside it.
static double must(const struct result *r)
{
    if (strcmp(r->arch, "x86-kvm") == 0)
        return strcmp(r->impl, "axvcpu") == 0 ? ir(r->bench, "ioctl", r->arch, r->n) + 40 : -1;
    if (strcmp(r->bench, "hypercall") != 0)
        return -1;
    return strcmp(r->arch, "riscv-hs") == 0 ? 140 : 110;
}

static void trip(const struct result *r, double y, double scale)
{
    char title[96];
    double x = TRIP_LEFT, limit = must(r);
    snprintf(title, sizeof title, "%s, %s%s%s", r->arch, r->bench, strcmp(r->impl, "axvcpu") == 0 ? "" : ", ",
             strcmp(r->impl, "axvcpu") == 0 ? "" : r->impl);
    text(TRIP_LEFT - 8, y + 13, "end", "", title);
    bar(x, y, r->ir * scale, TRIP_BAR - 4, GREY);
    for (int p = 0; p < PARTS; p++) {
        char name[48];
        double part;
        snprintf(name, sizeof name, "%.30s.%s", r->bench, parts[p].title);
        part = ir(name, r->impl, r->arch, r->n);
        if (part > 0) {
            bar(x, y, part * scale, TRIP_BAR - 4, parts[p].colour);
            if (part * scale > 26)
                text(x + part * scale / 2, y + 11.5, "middle", p == PARTS - 1 ? "font-size=\"10\"" : "font-size=\"10\" fill=\"white\"", number(part));
            x += part * scale;
        }
    }
    if (limit > 0)
        line(TRIP_LEFT + limit * scale, y - 2, TRIP_LEFT + limit * scale, y + TRIP_BAR - 2, "stroke=\"" RED "\" stroke-width=\"2\"");
    text(TRIP_LEFT + fmax(r->ir, limit) * scale + 6, y + 12, "start", "font-size=\"11\"", number(r->ir));
}

static void trips(const char *directory)
{
    static const struct key more[] = {{"not split", GREY}, {"limit", RED}};
    double most = 1, y = TRIP_TOP, n = 0;
    const char *arch = "";
    for (int i = 0; i < results.n; i++)
        if (is_trip(&results.row[i]))
            most = fmax(most, results.row[i].ir), n += strcmp(arch, results.row[i].arch) == 0 ? 1 : 1.5, arch = results.row[i].arch;
    begin(directory, "guests.svg", 900, TRIP_TOP + n * TRIP_BAR + 14);
    text(20, 24, "start", "font-size=\"15\" font-weight=\"bold\"", "Instructions of a round trip: the guest exits, is served, and goes on");
    legend(20, 48, parts, PARTS);
    legend(520, 48, more, 2);
    arch = "";
    for (int i = 0; i < results.n; i++) {
        const struct result *r = &results.row[i];
        if (!is_trip(r))
            continue;
        y += strcmp(arch, r->arch) == 0 ? 0 : TRIP_BAR / 2.0;
        arch = r->arch;
        trip(r, y, (900 - TRIP_LEFT - 60) / most);
        y += TRIP_BAR;
    }
    end();
}

int main(int argc, char **argv)
{
    if (argc != 2 || !results_read(RESULTS_FILE, &results) || results.n == 0) {
        fprintf(stderr, "usage: plot DIRECTORY, after the driver has written " RESULTS_FILE "\n");
        return 1;
    }
    host(argv[1]);
    scaling(argv[1]);
    trips(argv[1]);
    return 0;
}
