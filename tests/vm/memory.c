// SPDX-License-Identifier: Apache-2.0
//
// Guest memory: map and unmap, translate, ptr, read and write, each on the same few mappings, with every
// kind of bad input; then random calls against a naive table.
#include "vm.h"

enum { PAGE = 4096 };
#define TOP UINT64_MAX
#define R AXVM_MAP_READ
#define RW (AXVM_MAP_READ | AXVM_MAP_WRITE)

static struct machine mc;
static uint8_t host[64 * PAGE] __attribute__((aligned(PAGE)));

static axvcpu_backing_t at(uint64_t offset)
{
    return axvcpu_from_ptr(host + offset);
}

// ---- map and unmap, one call after the other

enum op { MAP, UNMAP };
struct row {
    const char *name;
    enum op op;
    uint64_t gpa, size, offset; // offset in `host`
    uint32_t flags;
    int err;
};

static const struct row rows[] = {
    { "unmap nothing", UNMAP, 0, PAGE, 0, 0, AXVCPU_EINVAL },
    { "map two pages", MAP, 0x10000, 2 * PAGE, 0, RW, AXVCPU_OK },
    { "map them again", MAP, 0x10000, 2 * PAGE, 0, RW, AXVCPU_EINVAL },
    { "map the first of them", MAP, 0x10000, PAGE, 0, RW, AXVCPU_EINVAL },
    { "map the last of them", MAP, 0x11000, PAGE, 0, RW, AXVCPU_EINVAL },
    { "map over their beginning", MAP, 0xf000, 2 * PAGE, 0, RW, AXVCPU_EINVAL },
    { "map over their end", MAP, 0x11000, 2 * PAGE, 0, RW, AXVCPU_EINVAL },
    { "map around them", MAP, 0, 0x100000, 0, RW, AXVCPU_EINVAL },
    { "map all but the last page of 2^64", MAP, 0, TOP - 0xfff, 0, RW, AXVCPU_EINVAL },
    { "map from them to 2^64", MAP, 0x11000, TOP - 0x10fff, 0, RW, AXVCPU_EINVAL },
    { "map just before", MAP, 0xf000, PAGE, 2 * PAGE, RW, AXVCPU_OK },
    { "map just behind", MAP, 0x12000, PAGE, 3 * PAGE, R, AXVCPU_OK },
    { "map the first page", MAP, 0, PAGE, 4 * PAGE, AXVM_MAP_RWX, AXVCPU_OK },
    { "map the last page of 2^64", MAP, TOP - 0xfff, PAGE, 5 * PAGE, RW, AXVCPU_OK },
    { "map the last page of 2^64 again", MAP, TOP - 0xfff, PAGE, 5 * PAGE, RW, AXVCPU_EINVAL },
    { "map the last two pages of 2^64", MAP, TOP - 0x1fff, 2 * PAGE, 5 * PAGE, RW, AXVCPU_EINVAL },
    { "map all of them but 0 up to 2^64", MAP, PAGE, TOP - 0xfff, 0, RW, AXVCPU_EINVAL },
    { "map past 2^64 by a page", MAP, TOP - 0xfff, 2 * PAGE, 0, RW, AXVCPU_EINVAL },
    { "map past 2^64 by nearly all", MAP, TOP - 0xfff, TOP - 0xfff, 0, RW, AXVCPU_EINVAL },
    { "map the last but one page of 2^64", MAP, TOP - 0x1fff, PAGE, 6 * PAGE, RW, AXVCPU_OK },
    { "map nothing", MAP, 0x20000, 0, 0, RW, AXVCPU_EINVAL },
    { "map an unaligned address", MAP, 0x20001, PAGE, 0, RW, AXVCPU_EINVAL },
    { "map a half-aligned address", MAP, 0x20800, PAGE, 0, RW, AXVCPU_EINVAL },
    { "map an unaligned size", MAP, 0x20000, PAGE + 1, 0, RW, AXVCPU_EINVAL },
    { "map a byte", MAP, 0x20000, 1, 0, RW, AXVCPU_EINVAL },
    { "map unaligned memory", MAP, 0x20000, PAGE, 8, RW, AXVCPU_EINVAL },
    { "map with no flags", MAP, 0x20000, PAGE, 0, 0, AXVCPU_EINVAL },
    { "map write-only", MAP, 0x20000, PAGE, 0, AXVM_MAP_WRITE, AXVCPU_EINVAL },
    { "map with an unknown flag", MAP, 0x20000, PAGE, 0, RW | 0x20, AXVCPU_EINVAL },
    { "map with flag 2^31", MAP, 0x20000, PAGE, 0, RW | 0x80000000u, AXVCPU_EINVAL },
    { "map with all known flags", MAP, 0x20000, PAGE, 7 * PAGE, AXVM_MAP_RWX | AXVM_MAP_DEVICE | AXVM_MAP_LOG_DIRTY, AXVCPU_OK },
    { "unmap by an address inside", UNMAP, 0x11000, PAGE, 0, 0, AXVCPU_EINVAL },
    { "unmap a part", UNMAP, 0x10000, PAGE, 0, 0, AXVCPU_EINVAL },
    { "unmap too much", UNMAP, 0x10000, 3 * PAGE, 0, 0, AXVCPU_EINVAL },
    { "unmap no size", UNMAP, 0x10000, 0, 0, 0, AXVCPU_EINVAL },
    { "unmap what is not there", UNMAP, 0x30000, PAGE, 0, 0, AXVCPU_EINVAL },
    { "unmap a hole of no size", UNMAP, 0x30000, 0, 0, 0, AXVCPU_EINVAL },
    { "unmap", UNMAP, 0x20000, PAGE, 0, 0, AXVCPU_OK },
    { "unmap it again", UNMAP, 0x20000, PAGE, 0, 0, AXVCPU_EINVAL },
    { "map it again", MAP, 0x20000, PAGE, 7 * PAGE, RW, AXVCPU_OK },
};

struct mirror { // the naive table
    uint64_t first, last, offset;
    uint32_t flags;
};
static struct mirror mirrors[AXVM_MAX_MAPS];
static uint32_t mirrored;

static struct mirror *mirror_at(uint64_t gpa)
{
    uint32_t i;

    for (i = 0; i < mirrored; i++) {
        if (mirrors[i].first <= gpa && gpa <= mirrors[i].last)
            return &mirrors[i];
    }
    return NULL;
}

static int mirror_map(uint64_t gpa, uint64_t size, uint64_t offset, uint32_t flags)
{
    uint64_t last = gpa + (size - 1);
    uint32_t i;

    if (size == 0 || last < gpa || ((gpa | size | offset) & (PAGE - 1)) != 0 || (flags & R) == 0 || flags > 0x1f)
        return AXVCPU_EINVAL;
    for (i = 0; i < mirrored; i++) {
        if (gpa <= mirrors[i].last && mirrors[i].first <= last)
            return AXVCPU_EINVAL;
    }
    if (mirrored == AXVM_MAX_MAPS)
        return AXVCPU_ENOMEM;
    mirrors[mirrored++] = (struct mirror){ gpa, last, offset, flags };
    return AXVCPU_OK;
}

static int mirror_unmap(uint64_t gpa, uint64_t size)
{
    struct mirror *m = mirror_at(gpa);

    if (m == NULL || m->first != gpa || m->last - m->first != size - 1)
        return AXVCPU_EINVAL;
    *m = mirrors[--mirrored];
    return AXVCPU_OK;
}

// Whether translate and ptr say what the naive table says, for one address.
static bool agrees(uint64_t gpa)
{
    const struct mirror *m = mirror_at(gpa);
    axvcpu_backing_t b = axvcpu_from_ptr(&mc);
    int err = axvm_translate(&mc.vm, axvcpu_gpa(gpa), &b);
    uint8_t *want = m != NULL ? host + m->offset + (gpa - m->first) : NULL;
    uint64_t rest = m != NULL ? m->last - gpa + 1 : 0;

    if (err != (m != NULL ? AXVCPU_OK : AXVCPU_EFAULT) || (m != NULL && b.ptr != want))
        return false;
    return axvm_ptr(&mc.vm, axvcpu_gpa(gpa), 1) == want && axvm_ptr(&mc.vm, axvcpu_gpa(gpa), rest) == want &&
           axvm_ptr(&mc.vm, axvcpu_gpa(gpa), rest + 1) == NULL && axvm_ptr(&mc.vm, axvcpu_gpa(gpa), TOP) == NULL;
}

static bool agrees_on_edges(void)
{
    uint32_t i;
    bool good = true;

    for (i = 0; i < mirrored; i++)
        good = good && agrees(mirrors[i].first - 1) && agrees(mirrors[i].first) && agrees(mirrors[i].first + 1) &&
               agrees(mirrors[i].last) && agrees(mirrors[i].last + 1);
    return good && agrees(0) && agrees(TOP) && agrees(0x30000);
}

static void test_rows(void)
{
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        const struct row *r = &rows[i];
        int err, want = r->op == MAP ? mirror_map(r->gpa, r->size, r->offset, r->flags) : mirror_unmap(r->gpa, r->size);

        must(want == r->err);
        forget_lines();
        err = r->op == MAP ? axvm_map(&mc.vm, axvcpu_gpa(r->gpa), at(r->offset), r->size, r->flags) :
                             axvm_unmap(&mc.vm, axvcpu_gpa(r->gpa), r->size);
        ok(err == r->err && (caught.lines != 0) == (err != 0) && agrees_on_edges(),
           "%s: %s (is %s), a log line if refused, translate and ptr agree", r->name, error_name(r->err), error_name(err));
    }
}

static void test_full(void)
{
    uint32_t i;
    bool good = true;

    vm_loading(&mc, 1);
    for (i = 0; i < AXVM_MAX_MAPS; i++)
        good = good && axvm_map(&mc.vm, axvcpu_gpa((uint64_t)i * 2 * PAGE), at(i * PAGE), PAGE, RW) == AXVCPU_OK;
    ok(good, "as many mappings as AXVM_MAX_MAPS");
    ok_err(axvm_map(&mc.vm, axvcpu_gpa(PAGE), at(0), PAGE, RW), AXVCPU_ENOMEM, "and not one more");
    ok_err(axvm_map(&mc.vm, axvcpu_gpa(0), at(0), PAGE, RW), AXVCPU_EINVAL, "one that overlaps is a mistake all the same");
    ok_err(axvm_unmap(&mc.vm, axvcpu_gpa((uint64_t)10 * 2 * PAGE), PAGE), AXVCPU_OK, "one goes");
    ok_err(axvm_map(&mc.vm, axvcpu_gpa(PAGE), at(0), PAGE, RW), AXVCPU_OK, "one comes");
    ok_err(axvm_map(&mc.vm, axvcpu_gpa((uint64_t)10 * 2 * PAGE), at(0), PAGE, RW), AXVCPU_ENOMEM, "full again");
    vm_gone(&mc);
}

// ---- read and write on: 0x10000 two pages, behind them one read-only page, before them one page (other
// memory), the last two pages of 2^64 (in different places)

enum { READ, WRITE };
struct copy {
    const char *name;
    int op;
    uint64_t gpa, len;
    int err;
};
static const struct copy copies[] = {
    { "read a byte", READ, 0x10000, 1, AXVCPU_OK },
    { "read inside one mapping", READ, 0x10123, 100, AXVCPU_OK },
    { "read a whole mapping", READ, 0x10000, 2 * PAGE, AXVCPU_OK },
    { "read across two mappings", READ, 0xfff0, 32, AXVCPU_OK },
    { "read across three", READ, 0xffff, 2 * PAGE + 2, AXVCPU_OK },
    { "read four mappings' worth", READ, 0xf000, 4 * PAGE, AXVCPU_OK },
    { "read nothing", READ, 0x10000, 0, AXVCPU_OK },
    { "read from a hole", READ, 0x30000, 1, AXVCPU_EFAULT },
    { "read into a hole", READ, 0x12ff0, 17, AXVCPU_EFAULT },
    { "read from before", READ, 0xefff, 2, AXVCPU_EFAULT },
    { "read the last bytes of 2^64", READ, TOP - 15, 16, AXVCPU_OK },
    { "read the last byte of 2^64", READ, TOP, 1, AXVCPU_OK },
    { "read the last two pages of 2^64", READ, TOP - 0x1fff, 2 * PAGE, AXVCPU_OK },
    { "read past 2^64", READ, TOP - 15, 17, AXVCPU_EINVAL },
    { "read as much as there is", READ, 0x10000, TOP, AXVCPU_EINVAL },
    { "read nearly as much", READ, 0x10000, TOP - 0x10000, AXVCPU_EFAULT },
    { "write a byte", WRITE, 0x10000, 1, AXVCPU_OK },
    { "write inside one mapping", WRITE, 0x10123, 100, AXVCPU_OK },
    { "write across two mappings", WRITE, 0xfff0, 32, AXVCPU_OK },
    { "write the last bytes of 2^64", WRITE, TOP - 15, 16, AXVCPU_OK },
    { "write across the last two pages", WRITE, TOP - 0x100f, 32, AXVCPU_OK },
    { "write nothing", WRITE, 0x10000, 0, AXVCPU_OK },
    { "write to a read-only mapping", WRITE, 0x12000, 1, AXVCPU_EFAULT },
    { "write into a read-only mapping", WRITE, 0x11ff0, 17, AXVCPU_EFAULT },
    { "write into a hole", WRITE, 0xeff8, 16, AXVCPU_EFAULT },
    { "write out of a mapping into a hole", WRITE, 0x20ff0, 17, AXVCPU_EFAULT },
    { "write past 2^64", WRITE, TOP, 2, AXVCPU_EINVAL },
};

static void test_copy(const struct copy *c)
{
    static uint8_t buf[8 * PAGE], was[sizeof(host)];
    uint64_t i, n = c->len <= sizeof(buf) - 16 ? c->len : 0;
    bool good = true;
    int err;

    for (i = 0; i < sizeof(host); i++)
        host[i] = (uint8_t)(i * 31 + (i >> 8));
    memcpy(was, host, sizeof(host));
    for (i = 0; i < sizeof(buf); i++)
        buf[i] = (uint8_t)(0x80 ^ i);
    forget_lines();
    err = c->op == READ ? axvm_read(&mc.vm, axvcpu_gpa(c->gpa), buf, c->len) : axvm_write(&mc.vm, axvcpu_gpa(c->gpa), buf, c->len);
    for (i = 0; i < n; i++) { // byte by byte, as the naive table has it
        const struct mirror *m = mirror_at(c->gpa + i);
        uint8_t *there = m != NULL ? &was[m->offset + (c->gpa + i - m->first)] : NULL;

        if (c->op == WRITE && err == 0)
            *there = buf[i];
        good = good && buf[i] == (c->op == READ && err == 0 ? *there : (uint8_t)(0x80 ^ i));
    }
    for (; i < sizeof(buf); i++)
        good = good && buf[i] == (uint8_t)(0x80 ^ i);
    good = good && memcmp(host, was, sizeof(host)) == 0 && (caught.lines != 0) == (err != 0);
    ok(err == c->err && good, "%s: %s (is %s), %s", c->name, error_name(c->err), error_name(err),
       c->err == 0 ? "the right bytes and no others" : "nothing moves");
}

static void test_null(void)
{
    static struct axvm none;
    struct axvm *const not_vms[] = { NULL, &none };
    axvcpu_backing_t b;
    uint8_t byte = 0;
    size_t i;

    for (i = 0; i < COUNT(not_vms); i++) {
        struct axvm *vm = not_vms[i];

        ok_err(axvm_map(vm, axvcpu_gpa(0), at(0), PAGE, RW), AXVCPU_EINVAL, "map on no VM");
        ok_err(axvm_unmap(vm, axvcpu_gpa(0), PAGE), AXVCPU_EINVAL, "unmap on no VM");
        ok_err(axvm_translate(vm, axvcpu_gpa(0), &b), AXVCPU_EINVAL, "translate on no VM");
        ok_err(axvm_read(vm, axvcpu_gpa(0), &byte, 1), AXVCPU_EINVAL, "read on no VM");
        ok_err(axvm_write(vm, axvcpu_gpa(0), &byte, 1), AXVCPU_EINVAL, "write on no VM");
        ok(axvm_ptr(vm, axvcpu_gpa(0), 1) == NULL, "ptr on no VM: NULL");
    }
    ok_err(axvm_translate(&mc.vm, axvcpu_gpa(0x10000), NULL), AXVCPU_EINVAL, "translate to NULL");
    ok_err(axvm_read(&mc.vm, axvcpu_gpa(0x10000), NULL, 1), AXVCPU_EINVAL, "read to NULL");
    ok_err(axvm_write(&mc.vm, axvcpu_gpa(0x10000), NULL, 1), AXVCPU_EINVAL, "write from NULL");
    // On a hosted backend memory is a pointer: what has none cannot be mapped, so nobody meets NULL later.
    ok_err(axvm_map(&mc.vm, axvcpu_gpa(0x40000), axvcpu_from_ptr(NULL), PAGE, RW), AXVCPU_EINVAL, "map NULL");
    ok_err(axvm_map(&mc.vm, axvcpu_gpa(0x50000), axvcpu_from_hpa(axvcpu_hpa(0x1000)), PAGE, RW), AXVCPU_EINVAL,
           "map host-physical memory on a hosted backend");
    ok(agrees(0x40000) && agrees(0x50000), "and it is not mapped");
}

// ---- random calls

static void test_random(struct chance *c)
{
    uint64_t n = rounds("random calls", 200000), i;
    uint32_t most = 0;
    bool good = true;

    vm_loading(&mc, 1);
    mirrored = 0;
    for (i = 0; i < n && good; i++) {
        uint64_t gpa = ((uint64_t)chance_below(c, 72) - 8) * PAGE, size = (uint64_t)chance_below(c, 4) * PAGE;
        uint64_t offset = (uint64_t)chance_below(c, 60) * PAGE;

        if (chance_below(c, 32) == 0)
            gpa += chance_below(c, PAGE);
        if (mirrored != 0 && chance_below(c, 4) == 0) {
            const struct mirror *m = &mirrors[chance_below(c, mirrored)];

            gpa = m->first;
            size = m->last - m->first + 1;
        }
        if ((chance_next(c) & 1) != 0)
            good = axvm_map(&mc.vm, axvcpu_gpa(gpa), at(offset), size, RW) == mirror_map(gpa, size, offset, RW);
        else
            good = axvm_unmap(&mc.vm, axvcpu_gpa(gpa), size) == mirror_unmap(gpa, size);
        most = mirrored > most ? mirrored : most;
        good = good && agrees(gpa) && agrees(gpa + chance_below(c, 4 * PAGE));
    }
    ok(good && agrees_on_edges(), "%" PRIu64 " random calls, up to %u mappings, agree with a list", i, most);
    vm_gone(&mc);
}

// Readers while a mapping comes and goes: all of a read, or EFAULT; never a crash.
static uint32_t stop;
static uint64_t mixed_up;
static void *reader(void *arg)
{
    uint64_t buf[4];

    (void)arg;
    while (GET(&stop) == 0) {
        int err = axvm_read(&mc.vm, axvcpu_gpa(PAGE - 16), buf, sizeof(buf));

        if (err == AXVCPU_OK && (buf[0] != 1 || buf[1] != 1 || buf[2] != 2 || buf[3] != 2))
            ADD(&mixed_up, 1u);
        (void)sched_yield(); // the lock is not a fair one
    }
    return NULL;
}

static void test_concurrent(void)
{
    uint64_t n = rounds("a mapping comes and goes under readers", 20000), i;
    pthread_t t[2];
    size_t k;

    vm_loading(&mc, 1);
    for (i = 0; i < PAGE / 8; i++)
        ((uint64_t *)(void *)host)[i] = 1;
    for (; i < 2 * PAGE / 8; i++)
        ((uint64_t *)(void *)host)[i] = 2;
    must(axvm_map(&mc.vm, axvcpu_gpa(0), at(0), PAGE, RW) == AXVCPU_OK);
    for (k = 0; k < COUNT(t); k++)
        t[k] = thread(reader, NULL);
    for (i = 0; i < n; i++) {
        must(axvm_map(&mc.vm, axvcpu_gpa(PAGE), at(PAGE), PAGE, RW) == AXVCPU_OK);
        (void)sched_yield();
        must(axvm_unmap(&mc.vm, axvcpu_gpa(PAGE), PAGE) == AXVCPU_OK);
    }
    PUT(&stop, 1u);
    for (k = 0; k < COUNT(t); k++)
        join(t[k]);
    ok_u64(mixed_up, 0, "reads across a mapping that comes and goes: all of it, or EFAULT");
    vm_gone(&mc);
}

// ---- LOG_DIRTY: what all tables have in common

// Pages first to end of a leaf that counts as written: it is clean afterwards if all of it has been asked for.
static const struct {
    const char *name;
    uint64_t leaf, first, end; // in pages
    bool clean;
} parts[] = {
    { "a page", 1, 7, 8, true },
    { "a large leaf", 512, 512, 1024, true },
    { "a large leaf among others", 512, 500, 1030, true },
    { "its first page", 512, 512, 513, false },
    { "all but its last page", 512, 512, 1023, false },
    { "all but its first page", 512, 513, 1024, false },
    { "its last page", 512, 1023, 1024, false },
    { "the largest leaf", 512 * 512, 0, 512 * 512, true },
    { "all but the first page of the largest", 512 * 512, 1, 512 * 512, false },
};

// What may be asked for, where guest-physical addresses have 41 bits.
static const struct {
    const char *name;
    uint64_t gpa, size;
    bool good;
} asked[] = {
    { "all there is", 0, UINT64_C(1) << 41, true },
    { "the last page", (UINT64_C(1) << 41) - PAGE, PAGE, true },
    { "a page more", (UINT64_C(1) << 41) - PAGE, 2 * PAGE, false },
    { "the page behind", UINT64_C(1) << 41, PAGE, false },
    { "it wraps", PAGE, TOP - 0xfff, false },
    { "half a page", PAGE, PAGE / 2, false },
    { "half an address", PAGE / 2, PAGE, false },
};

static void test_log(void)
{
    static uint64_t bitmap[512 * 512 / 64];
    for (size_t i = 0; i < COUNT(asked); i++)
        ok(axvm_i_log_asks(&mc.vm, asked[i].gpa, asked[i].size, bitmap, 41) == asked[i].good, "a log of %s", asked[i].name);
    for (size_t i = 0; i < COUNT(parts); i++) {
        uint64_t first = parts[i].first * PAGE, cleaned = 0, set = 0;
        AXVCPU_MEMSET(bitmap, 0, sizeof bitmap);
        for (uint64_t gpa = first; gpa < parts[i].end * PAGE; gpa += PAGE)
            cleaned += axvm_i_log_page(bitmap, first, gpa, parts[i].leaf * PAGE, true);
        for (uint64_t n = 0; n < parts[i].end - parts[i].first; n++)
            set += bitmap[n / 64] >> n % 64 & 1;
        ok_u64(cleaned, parts[i].clean, "part of a log, %s: clean", parts[i].name);
        ok_u64(set, parts[i].end - parts[i].first, "part of a log, %s: bits", parts[i].name);
    }
}

int main(void)
{
    struct chance c;
    size_t i;

    tap_begin(290);
    c.state = chance_seed();
    vm_loading(&mc, 1);
    test_rows();
    for (i = 0; i < COUNT(copies); i++)
        test_copy(&copies[i]);
    test_null();
    test_log();
    vm_gone(&mc);
    test_full();
    test_random(&c);
    test_concurrent();
    return tap_done();
}
