// SPDX-License-Identifier: GPL-2.0-or-later

package probe

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The texts in testdata are what kernels 6.1.192 of Debian's, built by packtest
// and run in QEMU with three programs loaded, showed.
func text(t *testing.T, arch, name string) *os.File {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", arch, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestVmalloc(t *testing.T) {
	for _, tc := range []struct {
		arch  string
		areas int
		addr  uint64
		want  Area
		bytes uint64
	}{
		{"x86_64", 8, 0xffffffffa000013c,
			Area{Start: 0xffffffffa0000000, End: 0xffffffffa0201000, Caller: "bpf_prog_pack_alloc+0x216/0x2c0", Pages: 512, Flags: []string{"vmalloc"}}, 2 << 20},
		{"x86_64", 8, 0xffffc90000000000,
			Area{Start: 0xffffc90000000000, End: 0xffffc90000002000, Caller: "__devm_ioremap_resource+0x176/0x1f0", Flags: []string{"phys=0x00000000feb00000", "ioremap"}}, 4096},
		{"s390x", 14, 0x3ff7ff02410,
			Area{Start: 0x3ff7ff02000, End: 0x3ff7ff04000, Caller: "bpf_jit_binary_alloc+0x6c/0xf0", Pages: 1, Flags: []string{"vmalloc"}}, 4096},
		{"s390x", 14, 0x37ffff08fff,
			Area{Start: 0x37ffff00000, End: 0x37ffff0a000, Caller: "idset_sch_new+0x4e/0xb0", Pages: 9, Flags: []string{"vmalloc"}}, 9 * 4096},
	} {
		areas, err := ParseVmalloc(text(t, tc.arch, "vmallocinfo"))
		if err != nil || len(areas) != tc.areas {
			t.Fatalf("%s: %d areas, %v", tc.arch, len(areas), err)
		}
		i := FindArea(areas, tc.addr)
		if i < 0 {
			t.Fatalf("%s: no area has %#x", tc.arch, tc.addr)
		}
		if d := cmp.Diff(tc.want, areas[i]); d != "" {
			t.Errorf("%s %#x: %s", tc.arch, tc.addr, d)
		}
		if got := areas[i].Bytes(); got != tc.bytes {
			t.Errorf("%s %#x: %d bytes, want %d", tc.arch, tc.addr, got, tc.bytes)
		}
	}
}

func TestFindArea(t *testing.T) {
	areas := []Area{
		{Start: 0x1000, End: 0x3000, Pages: 1},
		{Start: 0x3000, End: 0x9000, Unpurged: true},
		{Start: 0x4000, End: 0x6000, Pages: 1},
	}
	for addr, want := range map[uint64]int{0: -1, 0x1000: 0, 0x1fff: 0, 0x2000: -1, 0x3000: -1, 0x4000: 2, 0x5000: -1, 0x9000: -1} {
		if got := FindArea(areas, addr); got != want {
			t.Errorf("FindArea(%#x) = %d, want %d", addr, got, want)
		}
	}
}

func TestVmallocRefuses(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"hashed", "0x00000000deadbeef-0x00000000cafebabe    8192 x+0x1/0x2 pages=1 vmalloc\n", "no_hash_pointers"},
		{"restricted", "0x0000000000000000-0x0000000000000000    8192 x+0x1/0x2 pages=1 vmalloc\n", "no_hash_pointers"},
		{"no range", "hello world\n", "unexpected line"},
		{"cut off", "0x0000000000001000-0x0000000000003000\n", "unexpected line"},
		{"more pages than room", "0x0000000000001000-0x0000000000003000 8192 pages=9\n", "unexpected line"},
	} {
		if _, err := ParseVmalloc(strings.NewReader(tc.in)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: err = %v, want %q", tc.name, err, tc.want)
		}
	}
}

func TestMeminfoAndDirectMap(t *testing.T) {
	for _, tc := range []struct {
		arch string
		want []DirectMap
	}{
		{"x86_64", []DirectMap{{"directmap_4k", "DirectMap4k", 20480 << 10, true}, {"directmap_2m", "DirectMap2M", 1028096 << 10, true}, {"directmap_1g", "DirectMap1G", 0, true}}},
		{"s390x", []DirectMap{{"directmap_4k", "DirectMap4k", 1 << 30, true}, {"directmap_2m", "DirectMap1M", 0, true}, {"directmap_1g", "DirectMap2G", 0, true}}},
	} {
		m, err := ParseMeminfo(text(t, tc.arch, "meminfo"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Kernel{Arch: tc.arch}.DirectMap(m)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("%s: %s", tc.arch, d)
		}
	}
	if _, err := (Kernel{Arch: "x86_64"}).DirectMap(Meminfo{}); err == nil {
		t.Error("a machine without DirectMap4k passed")
	}
	// A processor without 1 GiB pages has no such line.
	list, err := Kernel{Arch: "x86_64"}.DirectMap(Meminfo{"DirectMap4k": 1})
	if err != nil || list[2].Shown {
		t.Errorf("without DirectMap1G: %v, %v", list, err)
	}
}

func TestMeminfoRefuses(t *testing.T) {
	for _, in := range []string{"x\n", "x: y kB\n", "x: 1 MB\n", "x: -1 kB\n", "x: 1 kB more\n"} {
		if m, err := ParseMeminfo(strings.NewReader(in)); err == nil {
			t.Errorf("%q gave %v", in, m)
		}
	}
}

func TestPageTable(t *testing.T) {
	parse := map[string]func(t *testing.T) (PageTable, error){
		"x86_64": func(t *testing.T) (PageTable, error) { return ParsePageTableX86(text(t, "x86_64", "page_tables")) },
		"s390x":  func(t *testing.T) (PageTable, error) { return ParsePageTableS390(text(t, "s390x", "page_tables")) },
	}
	for _, tc := range []struct {
		arch string
		addr uint64
		want Mapping
		ok   bool
	}{
		// JIT code: read-only, executable, in small pages.
		{"x86_64", 0xffffffffa000013c, Mapping{0xffffffffa0000000, 0xffffffffa0200000, 4096, false, true}, true},
		{"s390x", 0x3ff7ff02410, Mapping{0x3ff7ff02000, 0x3ff7ff03000, 4096, false, true}, true},
		// The kernel's text and its data.
		{"x86_64", 0xffffffff81000000, Mapping{0xffffffff81000000, 0xffffffff81600000, 2 << 20, false, true}, true},
		{"x86_64", 0xffffffff81fff000, Mapping{0xffffffff81e00000, 0xffffffff82000000, 2 << 20, true, false}, true},
		{"s390x", 0x100000, Mapping{0x100000, 0x541000, 4096, false, true}, true},
		// The lowcore page is both.
		{"s390x", 0x10, Mapping{0, 0x1000, 4096, true, true}, true},
		// Guard pages and nothing at all.
		{"x86_64", 0xffffffffa0200000, Mapping{}, false},
		{"s390x", 0x3ff7ff03000, Mapping{}, false},
		{"x86_64", 0xffffffffffffffff, Mapping{}, false},
		{"x86_64", 0x1000, Mapping{}, false},
	} {
		table, err := parse[tc.arch](t)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := table.Find(tc.addr)
		if ok != tc.ok || got != tc.want {
			t.Errorf("%s %#x: %+v, %v, want %+v, %v", tc.arch, tc.addr, got, ok, tc.want, tc.ok)
		}
	}
}

func TestPageTableRefuses(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"empty", "", "nothing is mapped"},
		{"unknown level", "0x0000000000001000-0x0000000000002000 4K RW NX xyz\n", "unexpected line"},
		{"not aligned", "0x0000000000001000-0x0000000000002000 4K RW NX pmd\n", "unexpected line"},
		{"both", "0x0000000000001000-0x0000000000002000 4K RW ro NX pte\n", "contradictory"},
		{"neither", "0x0000000000001000-0x0000000000002000 4K RW pte\n", "contradictory"},
		{"no range", "0x1000 4K RW NX pte\n", "unexpected line"},
	} {
		if _, err := ParsePageTableX86(strings.NewReader(tc.in)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: err = %v, want %q", tc.name, err, tc.want)
		}
	}
}

func TestSymbols(t *testing.T) {
	for arch, want := range map[string][]Symbol{
		"x86_64": {{0xffffffffa000001c, 't', "bpf_prog_e48d9529c5494c03_fleet_0", "bpf"}, {0xffffffffa000013c, 't', "bpf_prog_8404055ac2a2dac5_fleet_1", "bpf"}},
		"s390x":  {{0x3ff7ff00cc8, 't', "bpf_prog_2c37e7a732d98896_fleet_0", "bpf"}, {0x3ff7ff02410, 't', "bpf_prog_a07c22b69efbc241_fleet_1", "bpf"}},
	} {
		got, err := ParseSymbols(text(t, arch, "kallsyms"), func(name string) bool { return strings.HasPrefix(name, "bpf_prog_") })
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", arch, d)
		}
	}
	_, err := ParseSymbols(strings.NewReader("0000000000000000 b bpf_jit_current\n"), func(string) bool { return true })
	if !errors.Is(err, ErrHiddenSymbols) {
		t.Errorf("hidden symbols: %v", err)
	}
}

func TestLogRecord(t *testing.T) {
	r, err := ParseLogRecord("6,339,5140900,-;test_bpf: #0 TAX jited:1 50 42 43 PASS\n SUBSYSTEM=x\n")
	if err != nil || r.Level != 6 || r.Seq != 339 || r.Since.Microseconds() != 5140900 || r.Text != "test_bpf: #0 TAX jited:1 50 42 43 PASS" {
		t.Errorf("%+v, %v", r, err)
	}
	for _, in := range []string{"", "6,1,2", "6,1,2;x", "a,1,2,-;x", "6,-1,2,-;x"} {
		if r, err := ParseLogRecord(in); err == nil {
			t.Errorf("%q gave %+v", in, r)
		}
	}
}

func TestKernelReadsFromItsRoot(t *testing.T) {
	root := t.TempDir()
	write := func(path string, b []byte) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("/proc/config.gz", []byte("packed"))
	write("/proc/cmdline", []byte("quiet packtest.shell\n"))
	write("/sys/devices/system/cpu/vulnerabilities/meltdown", []byte("Not affected\n"))
	write("/proc/sys/net/core/bpf_jit_harden", []byte("2\n"))
	write("/proc/vmallocinfo", []byte("garbage\n"))

	k := Kernel{Root: root}
	if got, err := k.Config(); err != nil || string(got) != "packed" {
		t.Errorf("Config = %q, %v", got, err)
	}
	if got, err := k.Cmdline(); err != nil || got != "quiet packtest.shell" {
		t.Errorf("Cmdline = %q, %v", got, err)
	}
	if d := cmp.Diff(map[string]string{"meltdown": "Not affected"}, k.Mitigations()); d != "" {
		t.Error(d)
	}
	if err := k.SetSysctl("net.core.bpf_jit_harden", "0"); err != nil {
		t.Error(err)
	}
	if b, _ := os.ReadFile(filepath.Join(root, "/proc/sys/net/core/bpf_jit_harden")); string(b) != "0" {
		t.Errorf("after SetSysctl: %q", b)
	}
	if err := k.SetSysctl("net.core.nothing", "0"); err == nil || !strings.Contains(err.Error(), "net.core.nothing") {
		t.Errorf("SetSysctl of what isn't there: %v", err)
	}
	if _, err := k.Vmalloc(); err == nil || !strings.Contains(err.Error(), "/proc/vmallocinfo") {
		t.Errorf("Vmalloc of garbage: %v", err)
	}
	if _, err := k.Meminfo(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Meminfo of nothing: %v", err)
	}
}

// An open dump tells what is there when it is read, not when it was opened.
func TestPageTableFile(t *testing.T) {
	k := Kernel{Root: t.TempDir(), Arch: "s390x"}
	path := k.path("/sys/kernel/debug/kernel_page_tables")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("0x0000000000001000-0x0000000000003000         8K PTE RO X\n")
	dump, err := k.OpenPageTable()
	if err != nil {
		t.Fatal(err)
	}
	defer dump.Close()
	for _, end := range []uint64{0x3000, 0x2000} {
		table, err := dump.Read()
		if err != nil || len(table) != 1 || table[0].End != end {
			t.Errorf("%v, %v; want one mapping up to %#x", table, err, end)
		}
		write("0x0000000000001000-0x0000000000002000         4K PTE RO X\n")
	}
	write("nonsense\n")
	if _, err := dump.Read(); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("%v; want the file's name", err)
	}
}
