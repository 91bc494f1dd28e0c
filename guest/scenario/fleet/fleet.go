// SPDX-License-Identifier: GPL-2.0-or-later

// Package fleet makes BPF programs like those of a large fleet of servers: of
// mixed types, half of them under 500 bytes of machine code, three quarters
// under 2 kB, with a tail to 64 kB (Song Liu's figures for the programs at
// Meta, in the review of bpf_prog_pack). Each computes an answer of its own by
// arithmetic on constants and one input, and its maker knows the answer from
// doing the same arithmetic in Go: a program that is run at the wrong address,
// or was written over, gives another one.
//
// What is made depends on the architecture, the seed and the program's number
// alone. Loading and running is for others.
package fleet

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"

	"packtest/guest/bpf"
)

// Program is one program and what it must answer.
type Program struct {
	Index int
	Type  bpf.Type
	Name  string
	Code  []byte // instructions in the guest's byte order
	// TargetBytes is the size of machine code aimed at, all functions together.
	TargetBytes int
	// Functions is 1, and 1 more for each subprogram.
	Functions int
	// Input is what the program takes: for networking types the length of the
	// packet as the program sees it, for the others a number in its slot.
	Input  uint32
	Answer uint32
}

// Slot is where in the shared array a kprobe or raw tracepoint program finds its
// Input (64 bits). A kprobe leaves its Answer after that (64 bits), a counted
// program counts its runs there.
func (p Program) Slot() int { return p.Index * SlotBytes }

// SlotBytes is the room that each program has in the array.
const SlotBytes = 16

// Packet returns the length of the packet on which a networking program has to
// be run for it to see its Input: some types don't see the link-layer header.
func (p Program) Packet() int {
	if p.Type == bpf.SocketFilter || p.Type == bpf.CgroupSKB {
		return int(p.Input) + ethernetHeader
	}
	return int(p.Input)
}

const ethernetHeader = 14

// Fleet makes programs.
type Fleet struct {
	order binary.ByteOrder
	cost  cost
	seed  uint64
	// Slots is the file descriptor of the array in which kprobe programs have
	// their slots; it must be set before one of them is made.
	Slots int
}

// cost is how many bytes of machine code an architecture's JIT makes, about.
type cost struct{ program, function, op float64 }

// New returns the fleet that seed stands for on arch ("x86_64" or "s390x").
func New(arch string, seed uint64) (*Fleet, error) {
	f := &Fleet{seed: seed, Slots: -1}
	// Straight lines through what the JITs of 6.1 were seen to make; that the
	// sizes come out right is checked after every load.
	switch arch {
	case "x86_64":
		f.order, f.cost = binary.LittleEndian, cost{program: 120, function: 60, op: 7.2}
	case "s390x":
		f.order, f.cost = binary.BigEndian, cost{program: 170, function: 150, op: 9.7}
	default:
		return nil, fmt.Errorf("no fleet for architecture %q", arch)
	}
	return f, nil
}

// Program makes program number i of the fleet.
func (f *Fleet) Program(i int) (Program, error) {
	r := rand.New(rand.NewPCG(f.seed, uint64(i)))
	// A golden-ratio sequence: any number of programs taken from the front has
	// the fleet's distribution, closer than random draws would.
	_, u := math.Modf(float64(f.seed%1000)/1000 + float64(i)*math.Phi)
	return f.make(r, i, types[pick(r, typeShares)], int(size(u)), r.IntN(8) == 0)
}

// Small makes a socket filter of about 300 bytes, all of one size: for counting
// what a program costs whatever its size.
func (f *Fleet) Small(i int) (Program, error) {
	r := rand.New(rand.NewPCG(f.seed, uint64(i)|1<<63))
	return f.make(r, i, bpf.SocketFilter, 300, false)
}

// Tiny makes a socket filter that does nothing but answer: no program has less
// machine code.
func (f *Fleet) Tiny(i int) (Program, error) {
	r := rand.New(rand.NewPCG(f.seed, uint64(i)|1<<60))
	answer := r.Uint32()
	return Program{Index: i, Type: bpf.SocketFilter, Name: fmt.Sprintf("tiny_%d", i), Functions: 1, Input: 64, Answer: answer,
		Code: bpf.Encode([]bpf.Instruction{bpf.Mov.Imm(bpf.R0, int32(answer)), bpf.Exit()}, f.order)}, nil
}

// Calling makes a traffic classifier of about 1500 bytes that has subprograms.
func (f *Fleet) Calling(i int) (Program, error) {
	r := rand.New(rand.NewPCG(f.seed, uint64(i)|1<<59))
	return f.make(r, i, bpf.SchedCLS, 1500, true)
}

// Of makes a program of type t and the given size: for warming up.
func (f *Fleet) Of(t bpf.Type, bytes, i int) (Program, error) {
	r := rand.New(rand.NewPCG(f.seed, uint64(i)|1<<62))
	return f.make(r, i, t, bytes, false)
}

// Counted makes program number i of the fleet as one that counts its own runs
// in its slot, and of a type that can be attached as well as run by
// BPF_PROG_TEST_RUN: a socket filter, a cgroup's filter or a raw tracepoint's
// program. The fleet's tail is cut at a page: a program that is run often doesn't
// run all of its 64 kB, and loading such takes most of the time.
func (f *Fleet) Counted(i int) (Program, error) {
	r := rand.New(rand.NewPCG(f.seed, uint64(i)|1<<61))
	_, u := math.Modf(float64(f.seed%1000)/1000 + float64(i)*math.Phi)
	return f.makeCounted(r, i, countedTypes[r.IntN(len(countedTypes))], min(int(size(u)), countedMax), r.IntN(8) == 0, true)
}

// Types are the program types in the fleet.
func Types() []bpf.Type { return append([]bpf.Type(nil), types[:]...) }

var (
	types      = [...]bpf.Type{bpf.SocketFilter, bpf.SchedCLS, bpf.XDP, bpf.Kprobe, bpf.CgroupSKB}
	typeShares = [...]int{30, 25, 15, 15, 15}
	// countedMax is the most machine code that a counted program aims at, in bytes.
	countedMax = 4096
	// countedTypes are the types of counted programs, each as often as the next.
	countedTypes = [...]bpf.Type{bpf.SocketFilter, bpf.CgroupSKB, bpf.RawTracepoint}
)

// pick returns an index of shares with the probability of its share.
func pick(r *rand.Rand, shares [5]int) int {
	n := r.IntN(100)
	for i, s := range shares {
		if n -= s; n < 0 {
			return i
		}
	}
	panic("fleet: shares are not 100 in sum")
}

// Sizes of machine code in bytes.
const (
	minSize, median, quartile, maxSize = 180, 500, 2048, 65536
	// tailExponent makes the largest quarter's mean about 5 kB, and a thousand
	// programs 1.7 MB.
	tailExponent = 1.5
)

// size is the fleet's quantile function: the size below which a share u of the
// programs lies. Log-uniform in the lower parts, a Pareto tail cut at maxSize.
func size(u float64) float64 {
	switch {
	case u < 0.5:
		return minSize * math.Pow(float64(median)/minSize, u/0.5)
	case u < 0.75:
		return median * math.Pow(float64(quartile)/median, (u-0.5)/0.25)
	}
	cut := 1 - math.Pow(float64(quartile)/maxSize, tailExponent)
	return quartile * math.Pow(1-(u-0.75)/0.25*cut, -1/tailExponent)
}

// make writes a program of about target bytes of machine code.
func (f *Fleet) make(r *rand.Rand, i int, t bpf.Type, target int, calls bool) (Program, error) {
	return f.makeCounted(r, i, t, target, calls, false)
}

// makeCounted is make; a counted program adds 1 to its slot's second word.
func (f *Fleet) makeCounted(r *rand.Rand, i int, t bpf.Type, target int, calls, counted bool) (Program, error) {
	p := Program{Index: i, Type: t, Name: fmt.Sprintf("fleet_%d", i), TargetBytes: target, Functions: 1}
	p.Input = 64 + r.Uint32N(900)
	subs := 0
	if calls && target >= 400 {
		subs = 1 + r.IntN(3)
	}
	p.Functions += subs
	ops := int((float64(target) - f.cost.program - float64(subs)*f.cost.function) / f.cost.op)
	each := ops
	if subs > 0 {
		// The main function gets half.
		each = ops / 2 / subs
		ops -= each * subs
	}
	w := newWriter(r, t, p.Input, max(ops+each*subs, 0))
	if (t == bpf.Kprobe || counted) && f.Slots < 0 {
		return p, fmt.Errorf("program %d is a kprobe or counted, and needs its slot", i)
	}
	w.prologue(f.Slots, p.Slot())
	var bodies []*function
	for range subs {
		w.block(ops / (subs + 1))
		ops -= ops / (subs + 1)
		bodies = append(bodies, w.call(each))
	}
	w.block(ops)
	if counted {
		w.count(f.Slots, p.Slot())
	}
	p.Answer = w.epilogue(f.Slots, p.Slot())
	ins, err := w.link(bodies)
	if err != nil {
		return p, fmt.Errorf("program %d: %w", i, err)
	}
	p.Code = bpf.Encode(ins, f.order)
	return p, nil
}
