// SPDX-License-Identifier: GPL-2.0-or-later

package itlb

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"packtest/itlb/trace"
	"packtest/metric"
)

const (
	textAddr   = 0xffffffff81000000
	moduleAddr = 0xffffffffa0000000
	userAddr   = 0x400000
)

// perPage is a window over 160 programs, of which 100 run, with n programs to
// a page; size is that of the leaves under them.
func perPage(n int, size uint64) Window {
	const loaded, hot, rounds = 160, 100, 5
	w := Window{Form: "test_run", Loaded: loaded, Hot: hot, Rounds: rounds, Runs: hot * rounds, KernelGlobal: true,
		Kernel: []Mapping{{textAddr, textAddr + 4<<20, 2 << 20}, {moduleAddr, moduleAddr + 2<<20, size}},
		User:   []Mapping{{userAddr, userAddr + 0x2000, 4096}},
	}
	for i := range loaded {
		w.Images = append(w.Images, Image{Start: moduleAddr + uint64(i/n*4096+i%n*64), Bytes: 40, ID: uint32(i + 1), Hot: i < hot})
	}
	return w
}

// events is what the window would execute: for each run the process, two pages
// of the kernel's text, the program, and the text again.
func events(w Window) []trace.Event {
	var list []trace.Event
	for round := range w.Rounds {
		if round > 0 {
			list = append(list, trace.Event{Kind: trace.Lap})
		}
		for _, im := range w.Images {
			if im.Hot {
				for _, addr := range []uint64{userAddr, textAddr, textAddr + 0x5000, im.Start, textAddr + 0x5000} {
					list = append(list, trace.Event{Page: addr / 4096, Instructions: 10})
				}
			}
		}
	}
	return list
}

// source gives events in batches of that many, three unless it says so.
type source struct {
	list  []trace.Event
	batch int
	err   error
}

func (s *source) Read(buf []trace.Event) (int, error) {
	n := copy(buf[:min(max(s.batch, 3), len(buf))], s.list)
	s.list = s.list[n:]
	if len(s.list) == 0 && s.err != nil {
		return n, s.err
	}
	if len(s.list) == 0 {
		return n, io.EOF
	}
	return n, nil
}

func x86(t testing.TB) Options {
	t.Helper()
	list, err := Presets("x86_64")
	if err != nil {
		t.Fatal(err)
	}
	return Options{Geometries: list, Remaps: []Remap{{"what-if-4k", 4096}, {"what-if-2m", 2 << 20}}}
}

func analyse(t testing.TB, w Window, list []trace.Event) *Result {
	t.Helper()
	r, err := Analyse(w, &source{list: list}, x86(t))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// find returns the value of the only sample of a metric with these labels,
// given as "name=value".
func find(t testing.TB, list []metric.Sample, name string, labels ...string) float64 {
	t.Helper()
	var found []metric.Sample
	for _, s := range list {
		if s.Metric == name && !slices.ContainsFunc(labels, func(l string) bool {
			k, v, _ := strings.Cut(l, "=")
			return s.Labels[k] != v
		}) {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d samples of %s %v", len(found), name, labels)
	}
	return found[0].Values[0]
}

// TestAnalyse counts on its fingers. Fully associative with 64 entries (zen2),
// 100 pages in a circle miss at every visit, and with everything else hitting
// that is one miss a run; 10 pages do not miss once they are warm.
func TestAnalyse(t *testing.T) {
	type want struct {
		metric string
		labels string
		value  float64
	}
	zen := func(rest string) string {
		return "geometry=zen2 policy=lru bound=full " + rest
	}
	for name, tc := range map[string]struct {
		window Window
		want   []want
	}{
		"a page per program": {perPage(1, 4096), []want{
			{"itlb_trace_pages", "part=bpf", 100},
			{"itlb_trace_pages", "part=kernel", 2},
			{"itlb_trace_pages", "part=user", 1},
			{"itlb_trace_translations", "part=bpf page=4k", 100},
			{"itlb_trace_translations", "part=bpf page=large", 0},
			{"itlb_trace_translations", "part=all page=all", 102},
			{"itlb_trace_transitions_per_run", "part=bpf", 1},
			{"itlb_trace_transitions_per_run", "part=all", 5},
			{"itlb_trace_flushes", "seen=fully", 0},
			{"itlb_model_misses_per_run", zen("mapping=as-is lap=warm part=bpf"), 1},
			{"itlb_model_misses_per_run", zen("mapping=as-is lap=warm part=all"), 1},
			{"itlb_model_misses_per_run", zen("mapping=as-is lap=cold part=all"), 1.02},
			{"itlb_model_misses_per_kiloinstruction", zen("mapping=as-is lap=warm"), 20},
			{"itlb_model_misses_per_kiloinstruction", zen("mapping=as-is lap=cold"), 20.4},
			{"itlb_model_walks_per_run", zen("mapping=as-is lap=warm part=all"), 0},
			{"itlb_model_walks_per_run", zen("mapping=as-is lap=cold part=all"), 1.02},
			{"itlb_model_programs_missing", zen("mapping=as-is"), 100},
			{"itlb_model_programs_missing", zen("mapping=what-if-2m"), 0},
			{"itlb_model_programs_missing", "geometry=zen4 policy=lru bound=full mapping=as-is", 0},
			// In a circle of 102 pages with the same two between any two of the others, a
			// page of BPF code is at distance 102.
			{"itlb_model_capacity_programs_missing", "entries=96 bound=ignored mapping=as-is", 100},
			{"itlb_model_capacity_programs_missing", "entries=128 bound=ignored mapping=as-is", 0},
			{"itlb_model_misses_per_run", zen("mapping=what-if-2m lap=warm part=bpf"), 0},
			{"itlb_model_misses_per_run", zen("mapping=what-if-2m lap=cold part=bpf"), 0.01},
			// 100 contiguous pages are 25 groups of four.
			{"itlb_model_misses_per_run", "geometry=zen4 policy=lru bound=full mapping=as-is lap=cold part=bpf", 0.25},
			{"itlb_model_misses_per_run", "geometry=zen4 policy=lru bound=full mapping=as-is lap=warm part=bpf", 0},
			{"itlb_model_capacity_misses_per_run", "entries=64 part=bpf bound=ignored mapping=as-is", 1},
			{"itlb_model_capacity_misses_per_run", "entries=8 part=all bound=ignored mapping=what-if-2m", 0},
			{"itlb_model_capacity_misses_per_run", "entries=96 part=all bound=ignored mapping=as-is", 1},
			{"itlb_model_capacity_misses_per_run", "entries=128 part=all bound=ignored mapping=as-is", 0},
		}},
		"ten programs to a page": {perPage(10, 4096), []want{
			{"itlb_trace_pages", "part=bpf", 10},
			{"itlb_model_misses_per_run", zen("mapping=as-is lap=warm part=all"), 0},
			{"itlb_model_misses_per_run", zen("mapping=as-is lap=cold part=bpf"), 0.1},
			{"itlb_model_misses_per_run", zen("mapping=what-if-2m lap=cold part=bpf"), 0.01},
			{"itlb_model_capacity_misses_per_run", "entries=8 part=bpf bound=ignored mapping=as-is", 0.1},
			// A page that ten programs share is missed by the first of them alone.
			{"itlb_model_capacity_programs_missing", "entries=8 bound=ignored mapping=as-is", 100},
			{"itlb_model_capacity_programs_missing", "entries=16 bound=ignored mapping=as-is", 0},
		}},
		"ten programs to a page, under a large leaf": {perPage(10, 2<<20), []want{
			{"itlb_trace_pages", "part=bpf", 10},
			{"itlb_trace_translations", "part=bpf page=large", 1},
			{"itlb_trace_translations", "part=bpf page=4k", 0},
			{"itlb_trace_translations", "part=all page=large", 2},
			{"itlb_trace_translations", "part=all page=4k", 1},
			{"itlb_trace_translations", "part=all page=all", 3},
			{"itlb_model_misses_per_run", zen("mapping=as-is lap=cold part=bpf"), 0.01},
			{"itlb_model_misses_per_run", zen("mapping=what-if-4k lap=cold part=bpf"), 0.1},
			{"itlb_model_misses_per_run", zen("mapping=what-if-4k lap=cold part=all"), 0.12},
			// Pages as if of 4 KiB can share entries, too: ten in a row are in three.
			{"itlb_model_misses_per_run", "geometry=zen4 policy=lru bound=full mapping=what-if-4k lap=cold part=bpf", 0.03},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			samples := Samples(analyse(t, tc.window, events(tc.window)))
			for _, w := range tc.want {
				if got := find(t, samples, w.metric, append(strings.Fields(w.labels), "form=test_run", "loaded=160", "hot=100")...); got < w.value-1e-9 || got > w.value+1e-9 {
					t.Errorf("%s %s = %g, not %g", w.metric, w.labels, got, w.value)
				}
			}
		})
	}
}

// Flushes that are seen only in part make the bounds differ; the kernel's
// entries stay over a flush of what isn't global, if they are global.
func TestAnalyseFlushes(t *testing.T) {
	for name, tc := range map[string]struct {
		kind          trace.FlushKind
		global        bool
		ignored, full float64 // warm misses a run: BPF page, text and user page
	}{
		"all":                {trace.FlushAll, true, 3, 3},
		"not global":         {trace.FlushNonGlobal, true, 1, 1},
		"everything private": {trace.FlushNonGlobal, false, 3, 3},
		"a page":             {trace.FlushPage, true, 0, 3},
		"unknown":            {trace.FlushUnknown, true, 0, 3},
		"address space":      {trace.FlushSpace, true, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := perPage(10, 4096)
			w.KernelGlobal = tc.global
			var list []trace.Event
			for _, e := range events(w) {
				if e.Kind == trace.Fetch && e.Page == userAddr/4096 {
					list = append(list, trace.Event{Kind: trace.Flush, Page: uint64(tc.kind)})
				}
				list = append(list, e)
			}
			samples := Samples(analyse(t, w, list))
			for _, policy := range []string{"lru", "tree-plru"} {
				for bound, want := range map[string]float64{"ignored": tc.ignored, "full": tc.full} {
					if got := find(t, samples, "itlb_model_misses_per_run", "geometry=zen2", "policy="+policy, "bound="+bound, "mapping=as-is", "lap=warm", "part=all"); got != want {
						t.Errorf("%s, %s: %g misses a run, not %g", policy, bound, got, want)
					}
				}
			}
			for bound, want := range map[string]float64{"ignored": tc.ignored, "full": tc.full} {
				if got := find(t, samples, "itlb_model_capacity_misses_per_run", "entries=64", "bound="+bound, "mapping=as-is", "part=all"); got != want {
					t.Errorf("curve, %s: %g misses a run, not %g", bound, got, want)
				}
			}
			partly, fully := 0.0, 0.0
			switch tc.kind {
			case trace.FlushPage, trace.FlushUnknown:
				partly = 500
			case trace.FlushAll, trace.FlushNonGlobal:
				fully = 500
			}
			if got := find(t, samples, "itlb_trace_flushes", "seen=partly"); got != partly {
				t.Errorf("%g flushes seen in part, not %g", got, partly)
			}
			if got := find(t, samples, "itlb_trace_flushes", "seen=fully"); got != fully {
				t.Errorf("%g flushes seen fully, not %g", got, fully)
			}
			// What was flushed is missed at every capacity.
			missing := 0.0
			if tc.full == 3 {
				missing = 100
			}
			if got := find(t, samples, "itlb_model_capacity_programs_missing", "entries=4096", "bound=full", "mapping=as-is"); got != missing {
				t.Errorf("curve: %g programs miss, not %g", got, missing)
			}
		})
	}
}

// Every sample is in the catalogue, has all labels, and stands once; and the
// same trace gives the same list.
func TestSamples(t *testing.T) {
	w := perPage(1, 4096)
	list := Samples(analyse(t, w, events(w)))
	seen := map[string]bool{}
	for _, s := range list {
		d, _ := metric.Lookup(s.Metric)
		for _, l := range d.Labels {
			if s.Labels[l] == "" {
				t.Errorf("%s %v lacks its label %s", s.Metric, s.Labels, l)
			}
		}
		key := s.Metric + " " + metric.LabelString(s.Labels)
		if seen[key] {
			t.Errorf("%s stands twice", key)
		}
		seen[key] = true
		if s.Metric == "itlb_model_walks_per_run" && !strings.HasPrefix(s.Labels["geometry"], "zen") {
			t.Errorf("walks of %s, whose second level is shared with data", s.Labels["geometry"])
		}
	}
	again := Samples(analyse(t, w, events(w)))
	if !slices.EqualFunc(list, again, func(a, b metric.Sample) bool {
		return a.Metric == b.Metric && metric.LabelString(a.Labels) == metric.LabelString(b.Labels) && slices.Equal(a.Values, b.Values)
	}) {
		t.Error("the second time is not like the first")
	}
	t.Logf("%d samples", len(list))
}

// Misses go to the program whose page it is; where several that run share a
// page, to all of them, and marked so.
func TestPrograms(t *testing.T) {
	w := perPage(10, 4096)
	w.Images = w.Images[:100]
	w.Loaded = 100
	// Of the last page, only one program runs.
	for i := 90; i < 99; i++ {
		w.Images[i].Hot = false
	}
	w.Hot, w.Runs = 91, 91*5
	list := events(w)
	r := analyse(t, w, list)
	programs := r.Programs(Warm)
	if len(programs) != 91 {
		t.Fatalf("%d programs", len(programs))
	}
	if got, want := programs[0], (ProgramCount{ID: 1, Shared: 40}); got != want {
		t.Errorf("the first program: %+v, not %+v", got, want)
	}
	if got, want := programs[90], (ProgramCount{ID: 100, Own: 4}); got != want {
		t.Errorf("the program alone on its page: %+v, not %+v", got, want)
	}
	// Eight entries are too few for ten pages in a circle: every program's page is missed.
	if got := r.ProgramsMissingAt(r.Curves[0], 8); got != 91 {
		t.Errorf("%d programs miss", got)
	}
	cold := r.ProgramMisses(r.Models[0], Cold)
	if got, want := cold[0], (ProgramCount{ID: 1, Shared: 1}); got != want {
		t.Errorf("misses of the first program: %+v, not %+v", got, want)
	}
	if got, want := cold[90], (ProgramCount{ID: 100, Own: 1}); got != want {
		t.Errorf("misses of the program alone on its page: %+v, not %+v", got, want)
	}
}

// A program's misses are those of the first level, whatever the second served.
func TestProgramMisses(t *testing.T) {
	w := perPage(1, 4096)
	r := analyse(t, w, events(w))
	at := slices.IndexFunc(r.Models, func(m *Model) bool { return m.Geometry.Name == "zen2" && m.Policy == LRU && m.Mapping == AsIs })
	if got, want := r.ProgramMisses(r.Models[at], Warm)[0], (ProgramCount{ID: 1, Own: 4}); got != want {
		t.Errorf("%+v, not %+v", got, want)
	}
}

// A page is BPF's if it holds a program's first byte or its last one; a leaf that
// is used for two parts counts in both.
func TestParts(t *testing.T) {
	w := Window{Form: "test_run", Loaded: 2, Hot: 2, Rounds: 2, Runs: 4,
		Kernel: []Mapping{{moduleAddr, moduleAddr + 2<<20, 2 << 20}}, User: []Mapping{{userAddr, userAddr + 0x1000, 4096}},
		Images: []Image{{Start: moduleAddr + 0x1ff0, Bytes: 0x11, ID: 1, Hot: true}, {Start: moduleAddr + 0x3800, Bytes: 0x800, ID: 2, Hot: true}}}
	round := func() (list []trace.Event) {
		for _, page := range []uint64{0, 1, 2, 3, 4} {
			list = append(list, trace.Event{Page: moduleAddr/4096 + page, Instructions: 1})
		}
		return list
	}
	r := analyse(t, w, slices.Concat(round(), []trace.Event{{Kind: trace.Lap}}, round()))
	if got, want := r.Trace.Pages, [parts]int{BPF: 3, Kernel: 2}; got != want {
		t.Errorf("pages %v, not %v", got, want)
	}
	if got, want := r.Trace.Translations, [parts]Leaves{BPF: {Large: 1}, Kernel: {Large: 1}}; got != want {
		t.Errorf("leaves %v, not %v", got, want)
	}
	if got, want := r.Trace.AllTranslations, (Leaves{Large: 1}); got != want {
		t.Errorf("leaves in all %v, not %v", got, want)
	}
}

// What can't be true of a window is an error.
func TestAnalyseRefuses(t *testing.T) {
	broken := errors.New("block 7: checksum")
	for name, tc := range map[string]struct {
		change func(*Window, *source)
		want   string
		is     error
	}{
		"another kernel":       {func(w *Window, s *source) { s.list[7].Page++ }, "event 7: fetch from page 0xffffffff81006000", nil},
		"unmapped":             {func(w *Window, s *source) { s.list[7].Page = 0xdead }, "event 7: fetch from page 0xdead000, which nothing maps", ErrOtherKernel},
		"beyond every address": {func(w *Window, s *source) { s.list[7].Page = 1 << 60 }, "which nothing maps", ErrOtherKernel},
		"programs elsewhere": {func(w *Window, s *source) {
			for i := range w.Images {
				w.Images[i].Start += 160 * 4096
			}
		}, "entered only 0 times", ErrOtherKernel},
		"a program elsewhere": {func(w *Window, s *source) { w.Images[99].Start += 100 * 4096 }, "entered only 495 times", ErrOtherKernel},
		"a program that never ran": {func(w *Window, s *source) {
			w.Images[99].Start += 100 * 4096
			for i, e := range s.list {
				if e.Page == moduleAddr/4096+99 {
					s.list[i].Page = moduleAddr / 4096
				}
			}
		}, "program 100 ran, but nothing was fetched", ErrOtherKernel},
		"a round missing":     {func(w *Window, s *source) { s.list = slices.DeleteFunc(s.list, isFirstLap()) }, "the trace has 4 rounds, the guest's window 5", nil},
		"a round too many":    {func(w *Window, s *source) { s.list = append(s.list, trace.Event{Kind: trace.Lap}) }, "the trace has 6 rounds, the guest's window 5", nil},
		"fewer runs":          {func(w *Window, s *source) { w.Runs-- }, "499 runs of 100 programs in 5 rounds", nil},
		"one round":           {func(w *Window, s *source) { w.Rounds, w.Runs = 1, 100 }, "two rounds at least", nil},
		"more hot than known": {func(w *Window, s *source) { w.Images[5].Hot = false }, "code is known of 99", nil},
		"nothing":             {func(w *Window, s *source) { s.list = nil }, "rounds", nil},
		"a reader's error":    {func(w *Window, s *source) { s.err = broken }, "read the trace: block 7", broken},
		"no such flush":       {func(w *Window, s *source) { s.list[0] = trace.Event{Kind: trace.Flush, Page: 9} }, "no flush of kind 9", nil},
		"no such event":       {func(w *Window, s *source) { s.list[0].Kind = 77 }, "no kind 77", nil},
		"no instructions": {func(w *Window, s *source) {
			for i := range s.list {
				s.list[i].Instructions = 0
			}
		}, "no instructions", nil},
		"kernel and user overlap": {func(w *Window, s *source) { w.User[0] = Mapping{textAddr + 0x1000, textAddr + 0x2000, 4096} }, "overlap", nil},
		"they overlap by a page":  {func(w *Window, s *source) { w.User[0] = Mapping{textAddr + 0x5000, textAddr + 0x7000, 4096} }, "overlap", nil},
		"no such leaf":            {func(w *Window, s *source) { w.User[0].PageBytes = 8192 }, "pages of 8192 bytes", nil},
		"half a leaf":             {func(w *Window, s *source) { w.Kernel[0].Start += 100 }, "no range of pages", nil},
		"a range backwards":       {func(w *Window, s *source) { w.User[0].End = w.User[0].Start }, "no range of pages", nil},
		"code in user memory":     {func(w *Window, s *source) { w.Images[0].Start = userAddr }, "not in the kernel's executable memory", nil},
		"code nowhere":            {func(w *Window, s *source) { w.Images[0].Start = 0x1000 }, "not in the kernel's executable memory", nil},
		"no code":                 {func(w *Window, s *source) { w.Images[0].Bytes = 0 }, "0 bytes of code", nil},
		"endless code":            {func(w *Window, s *source) { w.Images[0].Bytes = 1 << 62 }, "bytes of code", nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := perPage(1, 4096)
			w.Images = w.Images[:100]
			w.Kernel[0] = Mapping{textAddr, textAddr + 6<<12, 4096}
			s := &source{list: events(w)}
			tc.change(&w, s)
			_, err := Analyse(w, s, x86(t))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error %v, expected %q", err, tc.want)
			}
			if tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("%v is not %v", err, tc.is)
			}
		})
	}
}

func isFirstLap() func(trace.Event) bool {
	seen := false
	return func(e trace.Event) bool {
		if seen || e.Kind != trace.Lap {
			return false
		}
		seen = true
		return true
	}
}

// A remap of an impossible size is refused.
func TestRemapRefused(t *testing.T) {
	w := perPage(1, 4096)
	opt := x86(t)
	opt.Remaps[0].PageBytes = 3 << 20
	if _, err := Analyse(w, &source{list: events(w)}, opt); err == nil || !strings.Contains(err.Error(), "what-if-4k") {
		t.Errorf("error %v", err)
	}
}

// Without geometries there is the sweep.
func TestSweepAlone(t *testing.T) {
	w := perPage(1, 4096)
	r, err := Analyse(w, &source{list: events(w)}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	samples := Samples(r)
	if got := find(t, samples, "itlb_model_capacity_misses_per_run", "entries=96", "bound=full", "part=bpf"); got != 1 {
		t.Errorf("%g misses a run", got)
	}
	// Arrivals at the text from the process and within it, and at BPF pages.
	d := r.Curves[0].Distances(Warm, BPF)
	if len(d) != 103 || d[102] != 400 {
		t.Errorf("distances of BPF pages: %v", d)
	}
	for entries, want := range map[int]int{101: 100, 102: 0} {
		if got := r.ProgramsMissingAt(r.Curves[0], entries); got != want {
			t.Errorf("%d programs miss with %d entries, not %d", got, entries, want)
		}
	}
}
