// SPDX-License-Identifier: GPL-2.0-or-later

package fleet

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"packtest/guest/bpf"
	"packtest/internal/need"
)

func newFleet(t testing.TB, arch string, seed uint64) *Fleet {
	t.Helper()
	f, err := New(arch, seed)
	if err != nil {
		t.Fatal(err)
	}
	f.Slots = 3
	return f
}

func TestShape(t *testing.T) {
	for _, n := range []int{200, 1000, 10000} {
		var sizes []float64
		types := map[bpf.Type]int{}
		for i := range n {
			_, u := math.Modf(float64(i) * math.Phi)
			sizes = append(sizes, size(u))
			r := rand.New(rand.NewPCG(1, uint64(i)))
			types[Types()[pick(r, typeShares)]]++
		}
		slices.Sort(sizes)
		share := func(limit float64) float64 {
			at, _ := slices.BinarySearch(sizes, limit)
			return float64(at) / float64(n)
		}
		if s := share(500); math.Abs(s-0.5) > 0.01 {
			t.Errorf("of %d programs %.3f are under 500 bytes", n, s)
		}
		if s := share(2048); math.Abs(s-0.75) > 0.01 {
			t.Errorf("of %d programs %.3f are under 2 kB", n, s)
		}
		if largest := sizes[n-1]; largest > 65536 || n >= 1000 && largest < 40000 {
			t.Errorf("of %d programs the largest is %.0f bytes", n, largest)
		}
		for i, kind := range Types() {
			if s := 100 * float64(types[kind]) / float64(n); math.Abs(s-float64(typeShares[i])) > 8 {
				t.Errorf("of %d programs %.0f %% are %s", n, s, kind)
			}
		}
	}
}

func TestSameSeedSameProgram(t *testing.T) {
	for _, arch := range []string{"x86_64", "s390x"} {
		a, b, other := newFleet(t, arch, 7), newFleet(t, arch, 7), newFleet(t, arch, 8)
		// In another order: a program depends on its number alone.
		for _, i := range []int{5, 0, 63, 5} {
			p, err := a.Program(i)
			if err != nil {
				t.Fatal(err)
			}
			q, _ := b.Program(i)
			if !bytes.Equal(p.Code, q.Code) || p.Answer != q.Answer || p.Input != q.Input {
				t.Errorf("%s: program %d differs from itself", arch, i)
			}
			if o, _ := other.Program(i); bytes.Equal(p.Code, o.Code) {
				t.Errorf("%s: program %d is the same under another seed", arch, i)
			}
		}
	}
}

// TestAnswersDiffer: a program that runs in another's place must show.
func TestAnswersDiffer(t *testing.T) {
	f := newFleet(t, "x86_64", 1)
	seen := map[uint32]int{}
	subs := 0
	for i := range 2000 {
		p, err := f.Program(i)
		if err != nil {
			t.Fatal(err)
		}
		if p.Functions > 1 {
			subs++
		}
		if j, ok := seen[p.Answer]; ok {
			t.Errorf("programs %d and %d have the same answer", i, j)
		}
		seen[p.Answer] = i
	}
	if subs < 50 {
		t.Errorf("only %d programs have subprograms", subs)
	}
}

func TestRefuses(t *testing.T) {
	if _, err := New("riscv64", 1); err == nil {
		t.Error("a fleet for an unknown architecture")
	}
	f, _ := New("x86_64", 1)
	if _, err := f.Of(bpf.Kprobe, 500, 0); err == nil {
		t.Error("a kprobe program without its slot")
	}
}

// interpret carries out BPF instructions by their encoding, as far as fleets
// use them: a second meaning, which shares nothing with the model. input is
// what the program takes. It returns the answer, wherever the program puts it.
func interpret(t *testing.T, p Program, order binary.ByteOrder) uint32 {
	t.Helper()
	type ins struct {
		op       byte
		dst, src byte
		off      int16
		imm      int32
	}
	var code []ins
	for b := p.Code; len(b) > 0; b = b[8:] {
		dst, src := b[1]&15, b[1]>>4
		if order == binary.BigEndian {
			dst, src = src, dst
		}
		code = append(code, ins{b[0], dst, src, int16(order.Uint16(b[2:])), int32(order.Uint32(b[4:]))})
	}
	const mapValue, context, packet = 1 << 40, 1 << 41, 1 << 42
	var run func(pc int, r [11]uint64) uint64
	var out uint64
	run = func(pc int, r [11]uint64) uint64 {
		stack := map[int16]uint64{}
		for steps := 0; ; steps++ {
			if steps > 1<<20 {
				t.Fatal("does not end")
			}
			in := code[pc]
			pc++
			b := uint64(int64(in.imm))
			if in.op&8 != 0 {
				b = r[in.src]
			}
			switch in.op & 7 {
			case 7, 4: // 64 and 32 bits of arithmetic
				a := r[in.dst]
				if in.op&7 == 4 {
					a, b = uint64(uint32(a)), uint64(uint32(b))
				}
				switch in.op >> 4 {
				case 0x0:
					a += b
				case 0x1:
					a -= b
				case 0x2:
					a *= b
				case 0x3:
					a /= b
				case 0x4:
					a |= b
				case 0x5:
					a &= b
				case 0x6:
					a <<= b
				case 0x7:
					a >>= b
				case 0x9:
					a %= b
				case 0xa:
					a ^= b
				case 0xb:
					a = b
				case 0xc:
					a = uint64(int64(a) >> b)
				default:
					t.Fatalf("arithmetic %#x", in.op)
				}
				if in.op&7 == 4 {
					a = uint64(uint32(a))
				}
				r[in.dst] = a
			case 5:
				switch in.op {
				case 0x95:
					return r[0]
				case 0x85:
					r[0] = run(pc+int(in.imm), r)
				case 0x25:
					if r[in.dst] > b {
						pc += int(in.off)
					}
				default:
					t.Fatalf("jump %#x", in.op)
				}
			case 0: // a wide constant
				if in.src == 2 {
					r[in.dst] = mapValue
				} else {
					r[in.dst] = uint64(uint32(in.imm)) | uint64(uint32(code[pc].imm))<<32
				}
				pc++
			case 1: // a load
				switch {
				case in.src == 10:
					r[in.dst] = stack[in.off]
				case r[in.src] == mapValue && in.off == 0, r[in.src] == context && p.Type != bpf.XDP && in.off == 0:
					r[in.dst] = uint64(p.Input)
				case r[in.src] == context && p.Type == bpf.XDP:
					r[in.dst] = packet + uint64(in.off/4)*uint64(p.Input)
				default:
					t.Fatalf("load from r%d%+d", in.src, in.off)
				}
			case 3: // a store
				switch {
				case in.dst == 10:
					stack[in.off] = r[in.src]
				case r[in.dst] == mapValue && in.off == 8, r[in.dst] == context && in.off == MarkAt:
					out = r[in.src]
				default:
					t.Fatalf("store to r%d%+d", in.dst, in.off)
				}
			}
		}
	}
	var regs [11]uint64
	regs[1] = context
	ret := run(0, regs)
	if p.Type == bpf.Kprobe || p.Type == bpf.CgroupSKB {
		return uint32(out)
	}
	return uint32(ret)
}

// TestCounted: a counted program counts once, in its own slot, whatever its type.
func TestCounted(t *testing.T) {
	types := map[bpf.Type]int{}
	for arch, order := range map[string]binary.ByteOrder{"x86_64": binary.LittleEndian, "s390x": binary.BigEndian} {
		f := newFleet(t, arch, 3)
		for i := range 60 {
			p, err := f.Counted(i)
			if err != nil {
				t.Fatal(err)
			}
			types[p.Type]++
			count := bpf.Encode([]bpf.Instruction{bpf.LoadMapValue(bpf.R1, f.Slots, uint32(p.Slot())),
				bpf.LoadMem(bpf.R2, bpf.R1, 8, bpf.DWord), bpf.Add.Imm(bpf.R2, 1), bpf.StoreMem(bpf.R1, 8, bpf.R2, bpf.DWord)}, order)
			if n := bytes.Count(p.Code, count); n != 1 {
				t.Errorf("%s: program %d (%s) counts %d times", arch, i, p.Type, n)
			}
			if p.TargetBytes > countedMax {
				t.Errorf("%s: program %d aims at %d bytes", arch, i, p.TargetBytes)
			}
		}
	}
	for _, kind := range countedTypes {
		if types[kind] < 20 {
			t.Errorf("only %d of 120 programs are %s", types[kind], kind)
		}
	}
	if _, err := (&Fleet{order: binary.LittleEndian, Slots: -1}).Counted(0); err == nil {
		t.Error("a counted program without its slot")
	}
}

func TestModelAgreesWithInterpreter(t *testing.T) {
	for arch, order := range map[string]binary.ByteOrder{"x86_64": binary.LittleEndian, "s390x": binary.BigEndian} {
		f := newFleet(t, arch, 3)
		for i := range 300 {
			p, err := f.Program(i)
			if err != nil {
				t.Fatal(err)
			}
			if got := interpret(t, p, order); got != p.Answer {
				t.Errorf("%s: program %d (%s, %d functions) answers %#x, the model says %#x", arch, i, p.Type, p.Functions, got, p.Answer)
			}
		}
	}
}

// TestOthers: the makers of programs for one purpose make what they say, and the
// interpreter agrees with the answer.
func TestOthers(t *testing.T) {
	for arch, order := range map[string]binary.ByteOrder{"x86_64": binary.LittleEndian, "s390x": binary.BigEndian} {
		f := newFleet(t, arch, 3)
		for i := range 40 {
			tiny, err := f.Tiny(i)
			if err != nil {
				t.Fatal(err)
			}
			calling, err := f.Calling(i)
			if err != nil {
				t.Fatal(err)
			}
			if len(tiny.Code) != 2*8 || tiny.Functions != 1 {
				t.Errorf("%s: tiny program %d has %d bytes of instructions, %d functions", arch, i, len(tiny.Code), tiny.Functions)
			}
			if calling.Functions == 1 {
				t.Errorf("%s: program %d has no subprograms", arch, i)
			}
			for _, p := range []Program{tiny, calling} {
				if got := interpret(t, p, order); got != p.Answer {
					t.Errorf("%s: program %s answers %#x, the model says %#x", arch, p.Name, got, p.Answer)
				}
			}
		}
	}
}

// TestThisKernel loads some of a fleet into the kernel that runs the test and
// compares its answers.
func TestThisKernel(t *testing.T) {
	arch := map[string]string{"amd64": "x86_64", "s390x": "s390x"}[runtime.GOARCH]
	if arch == "" || unix.Geteuid() != 0 {
		t.Skip("loading programs takes root on one of packtest's architectures")
	}
	f := newFleet(t, arch, 1)
	probe, err := f.Of(bpf.SocketFilter, 300, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := bpf.Load(probe.Type, probe.Name, probe.Code)
	if err != nil {
		need.Missing(t, "this kernel doesn't let us load programs: %v", err)
	}
	bpf.Close(fd)
	packet, mark := make([]byte, 4096), make([]byte, 512)
	for i := range 200 {
		p, err := f.Program(i)
		if err != nil {
			t.Fatal(err)
		}
		if p.Type == bpf.Kprobe {
			continue // takes an array and a probe
		}
		fd, err := bpf.Load(p.Type, p.Name, p.Code)
		if err != nil {
			t.Fatalf("program %d: %v", i, err)
		}
		var out []byte
		if p.Type == bpf.CgroupSKB {
			out = mark
		}
		got, err := bpf.TestRun(fd, packet[:p.Packet()], out, 1)
		bpf.Close(fd)
		if err != nil {
			t.Fatalf("program %d (%s): %v", i, p.Type, err)
		}
		if p.Type == bpf.CgroupSKB {
			got = binary.NativeEndian.Uint32(mark[MarkAt:])
		}
		if got != p.Answer {
			t.Errorf("program %d (%s, %d functions) answers %#x, must be %#x", i, p.Type, p.Functions, got, p.Answer)
		}
	}
}

func BenchmarkProgram(b *testing.B) {
	f := newFleet(b, "x86_64", 1)
	for i := 0; b.Loop(); i++ {
		if _, err := f.Program(i % 1000); err != nil {
			b.Fatal(err)
		}
	}
}
