// SPDX-License-Identifier: GPL-2.0-or-later

package oracle

import (
	"fmt"
	"sort"

	"packtest/guest/probe"
	"packtest/guest/wire"
)

func sorted(m map[Function]Span) []Function {
	list := make([]Function, 0, len(m))
	for f := range m {
		list = append(list, f)
	}
	sort.Slice(list, func(i, j int) bool {
		if list[i].Program != list[j].Program {
			return list[i].Program < list[j].Program
		}
		return list[i].Function < list[j].Function
	})
	return list
}

// Figure is an amount that has to come back to what it was.
type Figure struct {
	Name  string // such as "bpf_jit_current"
	Title string // of the finding if it doesn't
	Unit  string // "bytes"; "" of what is counted
	Was   int64
	Is    int64
}

// Returned holds if every figure is what it was. after says what was done and
// undone in between.
func Returned(figures []Figure, after string) []wire.Finding {
	var list []wire.Finding
	for _, f := range figures {
		if d := f.Is - f.Was; d != 0 {
			name := f.Name
			if f.Unit != "" {
				name += ", in " + f.Unit
			}
			list = append(list, wire.Finding{Kind: "leak", Title: f.Title,
				Evidence: fmt.Sprintf("%s: %+d after %s; was %d, is %d", name, d, after, f.Was, f.Is), Cases: int(max(d, -d))})
		}
	}
	return list
}

// minRounds is how many rounds must have been seen before growth means anything.
const minRounds = 4

// Grows says whether an amount, read after each of some equal rounds, never
// stops growing: it grew in every round but the first, in which caches fill, by
// at least step. That is a leak; what the kernel's other users take and give
// back doesn't look like that.
func Grows(rounds []int64, step int64) bool {
	if len(rounds) < minRounds+1 {
		return false
	}
	for i := 2; i < len(rounds); i++ {
		if rounds[i]-rounds[i-1] < step {
			return false
		}
	}
	return true
}

// Leaks holds if none of the series grows. Series are by name, such as
// "slab kmalloc-64"; step is the least growth per round that counts, in bytes.
func Leaks(series map[string][]int64, step int64, round string) []wire.Finding {
	names := make([]string, 0, len(series))
	for name := range series {
		names = append(names, name)
	}
	sort.Strings(names)
	var cases []string
	for _, name := range names {
		if s := series[name]; Grows(s, step) {
			cases = append(cases, fmt.Sprintf("%s: %v bytes after each %s", name, s, round))
		}
	}
	return finding("leak", "kernel memory grows with every round", cases)
}

// Pointed holds if all memory has somebody who points to it; reports are
// kmemleak's of that which has not.
func Pointed(reports []string) []wire.Finding {
	return finding("leak", "kernel memory that nobody points to", reports)
}

// largeEntry is what an entry of the direct map maps that is not of the smallest,
// in bytes, at least (s390x; 2 MiB on x86_64).
const largeEntry = 1 << 20

// Whole holds if freeing programs takes no large entry of the direct map to
// pieces. loaded and freed are how many bytes are mapped by the smallest entries
// while programs are loaded and when they are freed.
func Whole(loaded, freed int64) []wire.Finding {
	if freed-loaded < largeEntry {
		return nil
	}
	return finding("direct-map", "freeing programs takes the direct map to pieces",
		[]string{fmt.Sprintf("%d bytes of it in small entries while programs were loaded, %d when they were freed", loaded, freed)})
}

// Mapped is how much executable memory programs took at one moment.
type Mapped struct {
	Live int64 // bytes of code of the programs there were, each rounded up to whole pages
	Held int64 // bytes of the areas that held them
	Area int64 // bytes of the largest of those areas
}

// Reused holds if freed space is used again: the areas hold no more than twice
// what the most programs at any moment would take with pages of their own, and
// two areas. moments are in the order of time.
func Reused(moments []Mapped) []wire.Finding {
	var live, area int64
	var cases []string
	for i, m := range moments {
		live, area = max(live, m.Live), max(area, m.Area)
		if m.Held > 2*live+2*area {
			cases = append(cases, fmt.Sprintf("at moment %d of %d: areas of %d bytes for code of %d; never was there more code than %d",
				i+1, len(moments), m.Held, m.Live, live))
		}
	}
	return finding("no-reuse", "freed executable memory is not used again", cases)
}

// Charge is what the kernel charged for a program.
type Charge struct {
	Code    int64 // bytes of its code
	Charged int64 // bytes
}

// Charged holds if a program is charged for its code and for little more than it
// takes: too much, and users are refused what there is room for.
func Charged(loads []Charge) []wire.Finding {
	var cases []string
	for i, c := range loads {
		if c.Charged < c.Code || c.Charged > c.Code+roomSpare {
			cases = append(cases, fmt.Sprintf("load %d of %d: %d bytes for a program of %d", i+1, len(loads), c.Charged, c.Code))
		}
	}
	return finding("accounting", "the charge for JIT memory is not what programs take", cases)
}

// Growth is what happened to executable memory when a program was loaded.
type Growth struct {
	Need int64 // bytes of its code
	Room int64 // the longest run without code that there was before, in bytes; see Room
	More int64 // bytes that became executable with it
}

// roomSpare is what a program may need besides its code: a header, an exception
// table, and what aligns them.
const roomSpare = 16 << 10

// Filled holds if a program for which there is room goes there. An allocator may
// have a reason to leave a place alone, but not again and again.
func Filled(loads []Growth) []wire.Finding {
	var cases []string
	for i, g := range loads {
		if g.Room >= g.Need+roomSpare && g.More > 0 {
			cases = append(cases, fmt.Sprintf("load %d of %d: %d bytes more for a program of %d, with %d bytes in a row free in executable memory",
				i+1, len(loads), g.More, g.Need, g.Room))
		}
	}
	if len(cases) < 2 {
		return nil
	}
	return finding("no-reuse", "executable memory grows although there is room in it", cases)
}

// Room returns the length of the longest run of bytes without code in an area
// that holds some. images and areas are in the order of addresses.
func Room(images []Image, areas []probe.Area) int64 {
	var longest uint64
	for _, a := range areas {
		first := sort.Search(len(images), func(i int) bool { return images[i].End > a.Start })
		at, end := a.Start, a.Start+a.Bytes()
		for _, im := range images[first:] {
			if im.Start >= end {
				break
			}
			if im.Start > at {
				longest = max(longest, im.Start-at)
			}
			at = max(at, im.End)
		}
		if at > a.Start && at < end {
			longest = max(longest, end-at)
		}
	}
	return int64(longest)
}

// Executable returns how many bytes of the kernel's vmalloc areas can be
// executed, and the areas that are.
func Executable(areas []probe.Area, table probe.PageTable) (list []probe.Area) {
	for _, a := range areas {
		if a.Unpurged || a.Bytes() == 0 {
			continue
		}
		if m, ok := table.Find(a.Start); ok && m.Executable {
			list = append(list, a)
		}
	}
	return list
}
