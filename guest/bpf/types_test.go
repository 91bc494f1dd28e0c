// SPDX-License-Identifier: GPL-2.0-or-later

package bpf

import (
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"packtest/internal/need"
)

// someTypes are types of many kinds, as cilium/ebpf writes them.
func someTypes(t testing.TB, order binary.ByteOrder) []byte {
	t.Helper()
	num := &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
	long := &btf.Typedef{Name: "long_t", Type: &btf.Int{Name: "long", Size: 8, Encoding: btf.Signed}}
	inner := &btf.Struct{Name: "inner", Size: 8, Members: []btf.Member{{Name: "a", Type: num}, {Name: "bits", Type: num, Offset: 33, BitfieldSize: 3}}}
	enum := &btf.Enum{Name: "enum", Size: 4, Values: []btf.EnumValue{{Name: "a", Value: 1}, {Name: "b", Value: 2}}}
	outer := &btf.Struct{Name: "outer", Size: 64, Members: []btf.Member{
		{Name: "first", Type: &btf.Array{Type: num, Index: num, Nelems: 3}},
		{Name: "next", Type: &btf.Pointer{Target: inner}, Offset: 128},
		{Name: "union", Type: &btf.Union{Name: "u", Size: 4, Members: []btf.Member{{Name: "x", Type: num}}}, Offset: 192},
		{Name: "last", Type: &btf.Const{Type: &btf.Volatile{Type: long}}, Offset: 256},
	}}
	proto := &btf.FuncProto{Return: num, Params: []btf.FuncParam{{Name: "p", Type: &btf.Pointer{Target: outer}}, {Name: "e", Type: enum}}}
	b, err := btf.NewBuilder([]btf.Type{num, inner, outer, enum, &btf.Fwd{Name: "outer"},
		&btf.Func{Name: "does", Type: proto, Linkage: btf.StaticFunc}, &btf.Func{Name: "doesn't", Type: proto, Linkage: btf.GlobalFunc}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := b.Marshal(nil, &btf.MarshalOptions{Order: order})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestTypes(t *testing.T) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		types, err := ParseTypes(someTypes(t, order))
		if err != nil {
			t.Fatal(err)
		}
		var last uint32
		if err := types.each(func(id uint32, b btfType) bool { last = id; return true }); err != nil || last < 12 {
			t.Errorf("%v: %d types, %v", order, last, err)
		}
		if m, err := types.Member("outer", "last"); err != nil || m != (Member{3, 32}) {
			t.Errorf("%v: outer.last: %+v, %v", order, m, err)
		}
		if m, err := types.Member("outer", "next"); err != nil || m != (Member{1, 16}) {
			t.Errorf("%v: outer.next: %+v, %v", order, m, err)
		}
		for _, name := range []string{"does", "doesn't"} {
			id, err := types.Function(name)
			if err != nil {
				t.Fatal(err)
			}
			err = types.each(func(at uint32, b btfType) bool {
				if at == id && (b.kind != kindFunc || !types.is(b.name, name)) {
					t.Errorf("%v: type %d is no function %s", order, id, name)
				}
				return true
			})
			if err != nil {
				t.Error(err)
			}
		}
		if id, err := types.Struct("outer"); err != nil || id == 0 {
			t.Errorf("%d, %v", id, err)
		}
		for _, err := range []error{
			func() error { _, err := types.Member("outer", "las"); return err }(),
			func() error { _, err := types.Member("inner", "bits"); return err }(), // begins within a byte
			func() error { _, err := types.Member("u", "x"); return err }(),        // a union
			func() error { _, err := types.Function("outer"); return err }(),
			func() error { _, err := types.Struct("does"); return err }(),
		} {
			if err == nil {
				t.Error("what isn't there was found")
			}
		}
	}
}

func TestBadTypes(t *testing.T) {
	good := someTypes(t, binary.LittleEndian)
	for name, tc := range map[string]struct {
		change func(b []byte) []byte
		want   string
	}{
		"short":          {func(b []byte) []byte { return b[:20] }, "too few"},
		"magic":          {func(b []byte) []byte { b[0] = 0; return b }, "begin with"},
		"cut":            {func(b []byte) []byte { return b[:len(b)-1] }, "a part of"},
		"kind":           {func(b []byte) []byte { b[24+7] = 0x1e; return b }, "kind 30"},
		"parts":          {func(b []byte) []byte { b[24+4], b[24+5], b[24+7] = 0xff, 0xff, kindStruct; return b }, "65535 parts"},
		"half a type":    {func(b []byte) []byte { binary.LittleEndian.PutUint32(b[12:], 5); return b }, "5 bytes, too few"},
		"far away":       {func(b []byte) []byte { binary.LittleEndian.PutUint32(b[4:], ^uint32(0)); return b }, "a part of"},
		"not a name":     {func(b []byte) []byte { binary.LittleEndian.PutUint32(b[20:], 0); return b }, "no does"},
		"nothing at all": {func(b []byte) []byte { binary.LittleEndian.PutUint32(b[12:], 0); return b }, "no does"},
	} {
		types, err := ParseTypes(tc.change(append([]byte(nil), good...)))
		if err == nil {
			_, err = types.Function("does")
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
}

func FuzzParseTypes(f *testing.F) {
	f.Add(someTypes(f, binary.LittleEndian))
	f.Add(someTypes(f, binary.BigEndian))
	f.Fuzz(func(t *testing.T, b []byte) {
		types, err := ParseTypes(b)
		if err != nil {
			return
		}
		n := uint32(0)
		err = types.each(func(id uint32, b btfType) bool { n = id; return true })
		if err == nil && int(n)*12 > len(b) {
			t.Errorf("%d types in %d bytes", n, len(b))
		}
		if m, err := types.Member("outer", "last"); err == nil && (m.Index < 0 || m.Offset < 0) {
			t.Errorf("%+v", m)
		}
		_, _ = types.Function("does")
	})
}

// TestTypedLoad loads programs for types on the kernel that runs the test, as far
// as that has any.
func TestTypedLoad(t *testing.T) {
	if got := unsafe.Offsetof(typedAttr{}.target); got != 108 {
		t.Errorf("attach_btf_id at %d", got)
	}
	if got := unsafe.Offsetof(typedAttr{}.program); got != 112 {
		t.Errorf("attach_prog_fd at %d", got)
	}
	if unix.Geteuid() != 0 {
		t.Skip("loading programs takes root")
	}
	if _, err := KernelTypes(); err != nil && !errors.Is(err, ErrNoTypes) {
		t.Error(err)
	} else if _, statErr := os.Stat("/sys/kernel/btf/vmlinux"); (err == nil) != (statErr == nil) {
		t.Errorf("types: %v; their file: %v", err, statErr)
	}
	order := binary.ByteOrder(binary.LittleEndian)
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		order = binary.BigEndian
	}
	code := Encode([]Instruction{Mov.Imm(R1, 6), CallFunction(1), Exit(), Mov.Reg(R0, R1), Mul.Imm(R0, 7), Exit()}, order)
	functions := []TypedFunction{{}, {Start: 3, Arguments: 1, Global: true}}
	fd, err := LoadTyped(SchedCLS, "typed", code, Typed{Functions: functions})
	if err != nil {
		need.Missing(t, "this kernel doesn't let us load programs: %v", err)
	}
	defer Close(fd)
	if got, err := TestRun(fd, make([]byte, 64), nil, 1); err != nil || got != 42 {
		t.Errorf("TestRun = %d, %v", got, err)
	}
	// The functions' beginnings must be right; the verifier says so.
	functions[1].Start = 2
	if _, err := LoadTyped(SchedCLS, "typed", code, Typed{Functions: functions}); err == nil || !strings.Contains(err.Error(), "\n") {
		t.Errorf("a function in the wrong place: %v", err)
	}
}

func TestLineRecords(t *testing.T) {
	b := lineRecords([]TypedFunction{{}, {Start: 3}, {Start: 7}}, 12)
	var got []uint32
	for at := 0; at < len(b); at += lineRecordBytes {
		got = append(got, binary.NativeEndian.Uint32(b[at:]))
	}
	if want := []uint32{0, 2, 3, 6, 7, 11}; !slices.Equal(got, want) {
		t.Errorf("lines are of slots %d, want %d", got, want)
	}
}
