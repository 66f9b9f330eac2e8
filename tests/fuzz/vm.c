// SPDX-License-Identifier: Apache-2.0
//
// The VM's two tables against a reference model: the fuzzer's bytes are devices that come, move and go, also
// inside handlers, in all three classes of addresses, accesses anywhere, and mappings. The model of the devices
// is a list, that of the memory one entry for each page. After each call its result is the model's.
#define AXVCPU_ARCH_FAKE
#define AXVCPU_CHECKED
#include "tests/fuzz/input.h"

#define AXVM_MAX_MAPS 5
#define AXVCPU_LOG(level, text) ((void)(level), must((text)[0] != 0))
#define AXVCPU_IMPLEMENTATION
#include "axvcpu.h"

enum { PAGE = 4096, DEVICES = 6, PAGES = 12, BACKING = 3, STRING = 5 };
enum { LOW = PAGES / 2 }; // half of the pages are at 0, half end at 2^64

static struct axvm vm;
static struct axvcpu vcpu;

// ---- devices

struct device {
    uint32_t class_; // AXVM_MMIO, _PORT, _SYSREG; 0: none
    uint64_t first, last;
    bool whole;
};
static struct device devices[DEVICES];
static struct device *turn;       // whose string is being served
static bool turn_lost;            // it no longer has the address: the rest of the string is nobody's
static uint64_t calls, asked_for; // handlers' calls of this access, and its address

static struct device *device_at(uint32_t class_, uint64_t first, uint64_t last)
{
    for (struct device *d = devices; d < devices + DEVICES; d++)
        if (d->class_ == class_ && d->first <= first && last <= d->last && first <= last)
            return d;
    return NULL;
}

static struct device *device_from(uint32_t class_, uint64_t base)
{
    struct device *d = device_at(class_, base, base);
    return d != NULL && d->first == base ? d : NULL;
}

static bool is_free(uint32_t class_, uint64_t first, uint64_t last, const struct device *but)
{
    for (const struct device *d = devices; d < devices + DEVICES; d++)
        if (d != but && d->class_ == class_ && first <= d->last && last >= d->first)
            return false;
    return true;
}

// ---- addresses: few, so that they meet; at both ends of what there is

static uint32_t any_class(void)
{
    static const uint32_t classes[] = {AXVM_MMIO, AXVM_PORT, AXVM_SYSREG};
    return classes[input_next(3)];
}

static uint64_t any_address(uint32_t class_)
{
    uint64_t at = input_next(64);
    uint64_t end = class_ == AXVM_PORT ? 0x10000 : 0;
    return input_next(4) == 0 ? end - 1 - at : at;
}

// ---- calls that change the table, also inside a handler

static enum axvm_answer serve(struct axvm *, struct axvcpu *, struct axvcpu_exit *, void *);

static void add(uint32_t class_, uint64_t base)
{
    static int (*const calls_of[])(struct axvm *, uint64_t, uint64_t, axvm_handler, void *) = {
        axvm_add_mmio, axvm_add_port, axvm_add_sysreg};
    uint64_t size = input_next(20), last = base + (size - 1);
    bool good = size != 0 && last >= base && (class_ != AXVM_PORT || last <= 0xffff) && is_free(class_, base, last, NULL);
    struct device *d = devices;
    while (d < devices + DEVICES && d->class_ != 0)
        d++;
    int err = calls_of[class_ == AXVM_MMIO ? 0 : class_ == AXVM_PORT ? 1 : 2](
        &vm, base, size, serve, d < devices + DEVICES ? (void *)d : (void *)devices);
    must(err == (!good ? AXVCPU_EINVAL : d == devices + DEVICES ? AXVCPU_ENOMEM : AXVCPU_OK));
    if (err == 0)
        *d = (struct device){class_, base, last, false};
}

static void move(uint32_t class_, uint64_t base)
{
    uint64_t to = any_address(class_);
    struct device *d = device_from(class_, base);
    uint64_t last = d != NULL ? to + (d->last - d->first) : 0;
    bool good = d != NULL && last >= to && (class_ != AXVM_PORT || last <= 0xffff) && is_free(class_, to, last, d);
    must(axvm_move(&vm, class_, base, to) == (good ? AXVCPU_OK : AXVCPU_EINVAL));
    if (good)
        d->first = to, d->last = last;
}

static void change(void)
{
    uint32_t class_ = any_class(), what = input_next(6);
    uint64_t base = any_address(class_);
    struct device *d = device_from(class_, base);
    bool whole = input_next(2);
    switch (what) {
    case 0:
        must(axvm_remove(&vm, class_, base) == (d != NULL ? AXVCPU_OK : AXVCPU_EINVAL));
        if (d != NULL)
            d->class_ = 0, turn_lost |= d == turn;
        break;
    case 1:
        must(axvm_set_whole(&vm, class_, base, whole) == (d != NULL ? AXVCPU_OK : AXVCPU_EINVAL));
        if (d != NULL)
            d->whole = whole;
        break;
    case 2: move(class_, base); break;
    default: add(class_, base); break;
    }
}

// ---- accesses

static enum axvm_answer serve(struct axvm *of, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    struct device *d = arg;
    must(of == &vm && v == &vcpu && d->class_ != 0 && axvm_range_base(v) == d->first);
    must(turn == NULL || (d == turn && !turn_lost));
    must(d->first <= asked_for && asked_for <= d->last);
    turn = d;
    calls++;
    x->mmio.data = x->kind == AXVCPU_EXIT_MMIO_READ ? 7 : x->mmio.data;
    while (input_next(3) == 1)
        change();
    return AXVM_DONE;
}

static enum axvm_answer fallback(struct axvm *of, struct axvcpu *v, struct axvcpu_exit *x, void *arg)
{
    (void)of, (void)v;
    must(arg == &devices && x->kind != AXVCPU_EXIT_NOTHING);
    asked_for = UINT64_MAX;
    return AXVM_DONE;
}

// A string goes on at its device as long as that has the address; a device that comes there has no part in it.
static void access_string(const struct axvcpu_exit *wanted, struct axvcpu_exit *x)
{
    uint64_t first = wanted->io.port, last = first + wanted->io.width - 1;
    int err = axvm_step(&vm, 0, x);
    if (calls == wanted->io.count)
        must(err == 0 && (x->flags & AXVCPU_EXIT_HANDLED) != 0);
    else
        must(calls < wanted->io.count && err == AXVCPU_EIO &&
             (turn_lost || turn->class_ != AXVM_PORT || turn->first > first || turn->last < last));
}

static void access(bool has_default)
{
    static uint8_t buf[STRING * 8];
    static struct axvcpu_fake_step step;
    uint32_t class_ = any_class(), width = 1u << input_next(4), count = input_next(3) == 0 ? 2 + input_next(STRING - 1) : 1;
    uint64_t first = any_address(class_), last = first + width - 1;
    struct axvcpu_exit *s = &step.exit, x;
    memset(&step, 0, sizeof step);
    if (class_ == AXVM_PORT) {
        s->kind = input_next(2) ? AXVCPU_EXIT_IO_READ : AXVCPU_EXIT_IO_WRITE;
        s->io.port = (uint16_t)first, s->io.width = width, s->io.count = count, s->io.buf = buf;
    } else if (class_ == AXVM_MMIO) {
        s->kind = input_next(2) ? AXVCPU_EXIT_MMIO_READ : AXVCPU_EXIT_MMIO_WRITE;
        s->mmio.addr = first, s->mmio.width = s->mmio.reg_width = width;
    } else {
        s->kind = input_next(2) ? AXVCPU_EXIT_SYSREG_READ : AXVCPU_EXIT_SYSREG_WRITE;
        s->sysreg.addr = last = first;
    }
    struct device *d = device_at(class_, first, last);
    bool string = class_ == AXVM_PORT && count > 1 && d != NULL && !d->whole;
    turn = NULL, turn_lost = false, calls = 0, asked_for = first;
    must(axvcpu_fake_script(&vcpu, &step, 1, false) == 0);
    if (string) {
        access_string(s, &x);
    } else {
        must(axvm_step(&vm, 0, &x) == 0);
        must(calls == (d != NULL) && (d == NULL || turn == d));
        must((asked_for == UINT64_MAX) == (d == NULL && has_default) || first == UINT64_MAX);
        must(((x.flags & AXVCPU_EXIT_HANDLED) != 0) == (d != NULL || has_default));
    }
    turn = NULL;
    (void)axvcpu_refuse(&vcpu); // what is open
    must(axvcpu_get_state(&vcpu) == AXVCPU_STATE_READY && axvcpu_current() == NULL);
}

// ---- memory

struct page {
    int at; // which page of `backing`; -1: nothing there
    uint32_t flags, mapping;
    uint32_t rest; // how many follow in the same mapping, this one too
};
static struct page pages[PAGES];
static uint8_t *backing;
static uint32_t mappings, serial;

static uint64_t page_gpa(uint32_t n)
{
    return n < LOW ? (uint64_t)n * PAGE : 0 - (uint64_t)(PAGES - n) * PAGE;
}

static struct page *page_of(uint64_t gpa)
{
    for (uint32_t n = 0; n < PAGES; n++)
        if (gpa - page_gpa(n) < PAGE)
            return &pages[n];
    return NULL;
}

static void map(void)
{
    static const uint32_t all[] = {AXVM_MAP_RWX, AXVM_MAP_READ, AXVM_MAP_READ | AXVM_MAP_WRITE, AXVM_MAP_WRITE, AXVM_MAP_RWX, 0x80};
    uint32_t n = input_next(PAGES), count = input_next(BACKING + 1), at = input_next(BACKING), flags = all[input_next(6)];
    uint32_t skew = input_next(8) == 0, end = n < LOW ? LOW : PAGES;
    bool good = count != 0 && (n < LOW || n + count <= PAGES) && skew == 0 && (flags & AXVM_MAP_READ) != 0 && flags != 0x80;
    if (count > end - n && n < LOW)
        count = end - n;
    if (at + count > BACKING)
        at = BACKING - count;
    for (uint32_t i = n; i < n + count && i < PAGES; i++)
        good &= pages[i].at < 0;
    int err = axvm_map(&vm, axvcpu_gpa(page_gpa(n) + skew), axvcpu_from_ptr(backing + (size_t)at * PAGE), (uint64_t)count * PAGE, flags);
    must(err == (!good ? AXVCPU_EINVAL : mappings == AXVM_MAX_MAPS ? AXVCPU_ENOMEM : AXVCPU_OK));
    if (err != 0)
        return;
    mappings++, serial++;
    for (uint32_t i = 0; i < count; i++)
        pages[n + i] = (struct page){(int)(at + i), flags, serial, count - i};
}

static void unmap(void)
{
    uint32_t n = input_next(PAGES), count = input_next(2) && pages[n].at >= 0 ? pages[n].rest : input_next(5);
    bool good = pages[n].at >= 0 && pages[n].rest == count && (n == 0 || pages[n - 1].at < 0 || pages[n - 1].mapping != pages[n].mapping);
    must(axvm_unmap(&vm, axvcpu_gpa(page_gpa(n)), (uint64_t)count * PAGE) == (good ? AXVCPU_OK : AXVCPU_EINVAL));
    if (!good)
        return;
    mappings--;
    for (uint32_t i = 0; i < count; i++)
        pages[n + i].at = -1;
}

static uint64_t any_gpa(void)
{
    return page_gpa(input_next(PAGES)) + (input_next(2) ? PAGE - 1 - input_next(10) : input_next(10));
}

static void look(void)
{
    uint64_t gpa = any_gpa(), len;
    const struct page *p = page_of(gpa);
    len = input_next(2) ? input_next(40) : (uint64_t)(p->at < 0 ? 1 : p->rest) * PAGE - gpa % PAGE + input_next(2);
    uint8_t *host = p->at < 0 ? NULL : backing + (size_t)p->at * PAGE + gpa % PAGE;
    bool inside = host != NULL && len <= (uint64_t)p->rest * PAGE - gpa % PAGE;
    axvcpu_backing_t found;
    must(axvm_translate(&vm, axvcpu_gpa(gpa), &found) == (host != NULL ? AXVCPU_OK : AXVCPU_EFAULT));
    must(host == NULL || found.ptr == host);
    must(axvm_ptr(&vm, axvcpu_gpa(gpa), len) == (inside ? host : NULL));
}

// All of it is there, to be read or written.
static int copy_answer(uint64_t gpa, uint64_t len, bool write)
{
    if (len != 0 && gpa + (len - 1) < gpa)
        return AXVCPU_EINVAL;
    for (uint64_t i = 0; i < len; i++) {
        const struct page *p = page_of(gpa + i);
        if (p == NULL || p->at < 0 || (write && (p->flags & AXVM_MAP_WRITE) == 0))
            return AXVCPU_EFAULT;
        i += PAGE - 1 - (gpa + i) % PAGE; // the rest of this page, too
    }
    return AXVCPU_OK;
}

static void copy(void)
{
    static uint8_t ours[3 * PAGE], before[BACKING * PAGE];
    uint64_t gpa = any_gpa(), len = input_next(2) ? input_next(40) : (uint64_t)input_next(3) * PAGE;
    bool write = input_next(2);
    int err = copy_answer(gpa, len, write);
    memset(ours, 0xee, len);
    if (write || err == 0)
        memcpy(before, backing, sizeof before);
    must((write ? axvm_write(&vm, axvcpu_gpa(gpa), ours, len) : axvm_read(&vm, axvcpu_gpa(gpa), ours, len)) == err);
    for (uint64_t i = 0; err == 0 && i < len; i++) {
        size_t at = (size_t)page_of(gpa + i)->at * PAGE + (gpa + i) % PAGE;
        must(write ? backing[at] == 0xee : ours[i] == before[at]);
        before[at] = write ? 0xee : before[at];
    }
    if (write) // nothing else, and nothing at all after an error
        must(memcmp(before, backing, sizeof before) == 0);
    else if (err != 0)
        must(len == 0 || (ours[0] == 0xee && memcmp(ours, ours + 1, len - 1) == 0));
}

// ----

static void begin(void)
{
    static struct axvm_range ranges[DEVICES];
    const struct axvm_desc desc = {.vcpus = &vcpu, .vcpu_count = 1, .ranges = ranges, .max_ranges = DEVICES};
    if (backing == NULL)
        backing = aligned_alloc(PAGE, (size_t)BACKING * PAGE);
    for (size_t i = 0; i < (size_t)BACKING * PAGE; i += 128) // not the same on two pages
        backing[i] = backing[i + 127] = (uint8_t)(i / 128);
    memset(devices, 0, sizeof devices);
    memset(pages, 0, sizeof pages);
    for (uint32_t n = 0; n < PAGES; n++)
        pages[n].at = -1;
    mappings = 0;
    must(axvm_init(&vm, &desc) == 0 && axvm_boot(&vm) == 0 && axvcpu_bind(&vcpu) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool has_default;
    input_at = data;
    input_left = size;
    begin();
    has_default = input_next(2);
    for (uint32_t kind = 1; has_default && kind < AXVCPU_EXIT_COUNT; kind++)
        must(axvm_set_default(&vm, kind, fallback, &devices) == 0);
    while (input_left > 0) {
        switch (input_next(9)) {
        case 0:
        case 1: change(); break;
        case 2:
        case 3:
        case 4: access(has_default); break;
        case 5: map(); break;
        case 6: unmap(); break;
        case 7: look(); break;
        default: copy(); break;
        }
    }
    must(axvcpu_unbind(&vcpu) == 0 && axvm_deinit(&vm) == 0);
    return 0;
}
