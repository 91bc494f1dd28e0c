// SPDX-License-Identifier: GPL-2.0-or-later

// Package plan says what a run tests: the base, the variants, the
// architectures, the scenarios and how often each kernel is booted. It reads
// plans from TOML, fills in what they leave out, and refuses what makes no
// sense. How a plan is carried out is not its business.
package plan

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"packtest/guest/wire"
	"packtest/internal/fault"
	"packtest/kconfigs"
	"packtest/metric"
)

// Plan is what one run is to do. The zero value is no valid plan: start from
// Default or Parse.
type Plan struct {
	// Base is the kernel source: "debian:linux-source-6.1",
	// "debian:SUITE/PACKAGE", the path of a tarball, or "tree:PATH[@REV]".
	Base string `toml:"base"`
	// Arches are the architectures, as packtest names them.
	Arches []string `toml:"arches"`
	// Config names the kernel configuration, one of Configs.
	Config string `toml:"config"`
	// Baseline and Candidate name the variants that the verdict compares.
	Baseline  string `toml:"baseline"`
	Candidate string `toml:"candidate"`
	// Boots is how often each kernel is booted; exact metrics come from the
	// first boot, noisy ones get one value from each.
	Boots int `toml:"boots"`
	// Parallel is how many VMs run at once; 0 lets the machine decide.
	Parallel int `toml:"parallel"`
	// Seed makes programs, sizes and orders repeatable.
	Seed uint64 `toml:"seed"`

	// Geometries is the path of a file of instruction TLBs that are simulated beside
	// those that packtest carries; "" is none.
	Geometries string `toml:"geometries"`

	// FirstFinding has a kernel left alone once something was found on it, unless
	// it is the baseline's. It is how many defects are tried in a short time; what
	// such a run says of a kernel is not whole, and no plan file can ask for it.
	FirstFinding bool `toml:"-"`

	VM VM `toml:"vm"`
	// Tolerances are how far a metric may move, by name, where it isn't the
	// metric's own rule that says so.
	Tolerances map[string]metric.Tolerance `toml:"tolerance"`
	Variants   []Variant                   `toml:"variant"`
	Scenarios  []Scenario                  `toml:"scenario"`
}

// VM is the machine that kernels are booted on.
type VM struct {
	CPUs      int `toml:"cpus"`
	MemoryMiB int `toml:"memory_mib"`
	// Nodes is how many nodes processors and memory are divided among; 0 is one, or
	// two for a kernel that knows nodes.
	Nodes       int    `toml:"nodes"`
	Accelerator string `toml:"accelerator"` // auto, kvm or tcg
}

// Variant is a named stack of series.
type Variant struct {
	Name string `toml:"name"`
	// Stack lists series in order: the name of one that packtest carries
	// ("nopack", "bpf-prog-pack"), the path of a folder of patches or of an
	// mbox, or "range:BASE..HEAD" in the tree that is the base.
	Stack []string `toml:"stack"`
	// First is how many patches of the stack's last series are applied, counted
	// from its first; 0 is all. It is how a series is looked at patch by patch,
	// and no plan file can say it.
	First int `toml:"-"`
}

// Scenario asks for one workload.
type Scenario struct {
	Name     string `toml:"name"`
	Programs int    `toml:"programs"`
	Steps    []int  `toml:"steps"`
	// Hot and Rounds are for itlb: how many of the programs run, and how often.
	Hot    int `toml:"hot"`
	Rounds int `toml:"rounds"`
	// Seconds is for soak: how long it goes on.
	Seconds int `toml:"seconds"`
	// Asked is set if it was asked for by its name: then it is not to be left out
	// where the machine can't carry it out. No plan file can say it.
	Asked bool `toml:"-"`
}

// Architectures returns the architectures packtest knows.
func Architectures() []string { return []string{"x86_64", "s390x"} }

// nodesConfig is the configuration of kernels that know nodes.
const nodesConfig = "numa"

// Nodes returns how many nodes the machine of an architecture has. QEMU's for
// s390x has one, and so have the kernels.
func (p *Plan) Nodes(arch string) int {
	switch {
	case p.Config != nodesConfig || arch == "s390x":
		return 1
	case p.VM.Nodes == 0:
		return 2
	}
	return p.VM.Nodes
}

// Configs returns the kernel configurations packtest knows.
func Configs() []string { return kconfigs.Configs() }

// Accelerators returns the values of VM.Accelerator.
func Accelerators() []string { return []string{"auto", "kvm", "tcg"} }

// Scenarios returns the scenarios a plan can ask for, in the order in which
// they are run.
func Scenarios() []string {
	return slices.Concat([]string{"directmap", "load", "drain"}, Attacks(), []string{"itlb", "test_bpf"})
}

// Attacks returns the scenarios that are to break the allocator.
func Attacks() []string {
	return []string{"churn", "parallel", "shapes", "limits", "faults", "pressure", "numa", soak}
}

// soak is the attack that goes on for a given time.
const soak = "soak"

// IsAttack tells whether a scenario is one of them.
func IsAttack(scenario string) bool { return slices.Contains(Attacks(), scenario) }

// MaxPrograms is the most programs a scenario can be asked to load.
const MaxPrograms = 10000

// Default returns the plan of `packtest run` without a plan file.
func Default() *Plan {
	return &Plan{
		Base:      "debian:linux-source-6.1",
		Arches:    Architectures(),
		Config:    "measure",
		Baseline:  "nopack",
		Candidate: "pack",
		// Five is the least from which a rank test can tell the few noisy
		// metrics apart after correcting for their number.
		Boots: 5,
		Seed:  1,
		VM:    VM{CPUs: 2, MemoryMiB: 2048, Accelerator: "auto"},
		Variants: []Variant{
			{Name: "nopack", Stack: []string{"nopack"}},
			{Name: "pack", Stack: []string{"nopack", "bpf-prog-pack"}},
			{Name: "upstream"},
		},
		Scenarios: []Scenario{
			{Name: "directmap", Steps: []int{0, 512, 1024, 2048}},
			{Name: "load", Programs: 1000},
			{Name: "drain"},
			{Name: "churn"},
			{Name: "parallel"},
			{Name: "shapes"},
			{Name: "limits"},
			{Name: "faults"},
			// What the bench ran that bpf_prog_pack was published with, then a sweep.
			{Name: "itlb", Programs: 160, Hot: 100, Rounds: 10, Steps: []int{8, 16, 32, 64, 128, 256, 512, 1024, 2048}},
			{Name: "test_bpf"},
		},
	}
}

// Validate checks that the plan makes sense; the error is an input error that
// names the key and what it may be. Files are checked by whoever opens them.
func (p *Plan) Validate() error {
	if p.Base == "" {
		return fault.Inputf("the plan names no base")
	}
	if err := oneOf("config", p.Config, Configs()); err != nil {
		return err
	}
	if err := oneOf("vm.accelerator", p.VM.Accelerator, Accelerators()); err != nil {
		return err
	}
	if len(p.Arches) == 0 || len(p.Variants) == 0 || len(p.Scenarios) == 0 {
		return fault.Inputf("the plan needs at least one architecture, one variant and one scenario")
	}
	for _, a := range p.Arches {
		if err := oneOf("architecture", a, Architectures()); err != nil {
			return err
		}
	}
	if d := duplicate(p.Arches); d != "" {
		return fault.Inputf("architecture %s stands twice", d)
	}
	names := p.VariantNames()
	for _, n := range names {
		if !isName(n) {
			return fault.Inputf("variant name %q: use lower-case letters, digits, - and _", n)
		}
	}
	if d := duplicate(names); d != "" {
		return fault.Inputf("variant %s stands twice", d)
	}
	for _, v := range p.Variants {
		for _, s := range v.Stack {
			if _, ok := Range(s); ok && !strings.HasPrefix(p.Base, "tree:") {
				return fault.WithHint(fault.Inputf("variant %s: %s is in no tree, since the base is %s", v.Name, s, p.Base), "a range needs a base of the form tree:PATH[@REV]")
			}
		}
	}
	for key, v := range map[string]string{"baseline": p.Baseline, "candidate": p.Candidate} {
		if err := oneOf(key, v, names); err != nil {
			return err
		}
	}
	if p.Baseline == p.Candidate && len(names) > 1 {
		return fault.Inputf("baseline and candidate are both %s: there would be nothing to compare", p.Baseline)
	}
	for _, r := range []struct {
		key         string
		v, min, max int
	}{
		{"boots", p.Boots, 1, 1000}, {"parallel", p.Parallel, 0, 256},
		{"vm.cpus", p.VM.CPUs, max(1, p.VM.Nodes), 64}, {"vm.nodes", p.VM.Nodes, 0, 8}, {"vm.memory_mib", p.VM.MemoryMiB, 256, 1 << 20},
	} {
		if r.v < r.min || r.v > r.max {
			return fault.Inputf("%s is %d; it must be from %d to %d", r.key, r.v, r.min, r.max)
		}
	}
	if p.VM.Nodes > 1 && p.Config != nodesConfig {
		return fault.Inputf("vm.nodes is %d, of which kernels of the configuration %s know nothing: config must be %s", p.VM.Nodes, p.Config, nodesConfig)
	}
	if err := p.validateTolerances(); err != nil {
		return err
	}
	return p.validateScenarios()
}

func (p *Plan) validateScenarios() error {
	var names []string
	for _, s := range p.Scenarios {
		if err := oneOf("scenario", s.Name, Scenarios()); err != nil {
			return err
		}
		if s.Programs < 0 || s.Programs > MaxPrograms {
			return fault.Inputf("scenario %s: programs is %d; it must be from 1 to %d", s.Name, s.Programs, MaxPrograms)
		}
		if err := p.validateHot(s); err != nil {
			return err
		}
		if s.Seconds != 0 && s.Name != soak {
			return fault.Inputf("scenario %s: seconds are for %s", s.Name, soak)
		}
		if s.Seconds < 0 || s.Seconds > maxSoak {
			return fault.Inputf("scenario %s: seconds is %d; it must be from 1 to %d", s.Name, s.Seconds, maxSoak)
		}
		if len(s.Steps) > 0 && s.Name != "directmap" && s.Name != "itlb" {
			return fault.Inputf("scenario %s: steps are for directmap and itlb", s.Name)
		}
		if s.Programs > 0 && (s.Name == "directmap" || s.Name == "test_bpf") {
			return fault.Inputf("scenario %s: programs are for others", s.Name)
		}
		for i, n := range s.Steps {
			if n < 0 || n > MaxPrograms || i > 0 && n <= s.Steps[i-1] {
				return fault.Inputf("scenario %s: steps must rise, from 0 to at most %d programs", s.Name, MaxPrograms)
			}
		}
		names = append(names, s.Name)
	}
	if d := duplicate(names); d != "" {
		return fault.Inputf("scenario %s stands twice", d)
	}
	return p.validateNodes()
}

// maxSoak is a week, in seconds.
const maxSoak = 7 * 24 * 60 * 60

// validateNodes refuses a run of which an architecture could do nothing: there is
// something to see only where there are two nodes.
func (p *Plan) validateNodes() error {
	for _, arch := range p.Arches {
		if len(p.Scenarios) == 1 && p.Scenarios[0].Name == "numa" && p.Nodes(arch) < 2 {
			return fault.WithHint(fault.Inputf("scenario numa takes two nodes, of which %s with the configuration %s has %d: nothing else is to run there", arch, p.Config, p.Nodes(arch)),
				"--arch x86_64 --config %s is where there are two", nodesConfig)
		}
	}
	return nil
}

// validateHot checks what only itlb has use for. Zero is the guest's default.
func (p *Plan) validateHot(s Scenario) error {
	switch {
	case s.Name != "itlb" && (s.Hot != 0 || s.Rounds != 0):
		return fault.Inputf("scenario %s: hot and rounds are for itlb", s.Name)
	case s.Hot < 0 || s.Hot > MaxPrograms || s.Programs > 0 && s.Hot > s.Programs:
		return fault.Inputf("scenario %s: hot is %d; it must be from 1 to the number of programs", s.Name, s.Hot)
	case s.Rounds != 0 && (s.Rounds < 2 || s.Rounds > 1000):
		return fault.Inputf("scenario %s: rounds is %d; it must be from 2, of which the first is cold, to 1000", s.Name, s.Rounds)
	case s.Name == "itlb" && len(s.Steps) > 0 && s.Steps[0] == 0:
		return fault.Inputf("scenario %s: steps are numbers of programs that run, from 1", s.Name)
	case s.Name == "itlb" && p.VM.Accelerator == "kvm" && len(p.Scenarios) == 1:
		return fault.WithHint(fault.Inputf("scenario itlb traces instructions, and KVM shows none: vm.accelerator must not be kvm if nothing else is to run"),
			"with auto the trace is made under TCG, and the processor's events are counted under KVM where there is KVM")
	}
	return nil
}

// VariantNames returns the variants' names in the plan's order.
func (p *Plan) VariantNames() []string {
	var names []string
	for _, v := range p.Variants {
		names = append(names, v.Name)
	}
	return names
}

// Variant returns the variant called name.
func (p *Plan) Variant(name string) (Variant, error) {
	for _, v := range p.Variants {
		if v.Name == name {
			return v, nil
		}
	}
	return Variant{}, oneOf("variant", name, p.VariantNames())
}

// Keep narrows the plan to the given architectures, variants and scenarios; an
// empty list keeps all. A baseline or candidate that is no longer there is
// replaced by another variant, never by the other of the two.
func (p *Plan) Keep(arches, variants, scenarios []string) error {
	var err error
	if p.Arches, err = keep("architecture", p.Arches, arches, func(s string) string { return s }, Architectures()); err != nil {
		return err
	}
	if p.Variants, err = keep("variant", p.Variants, variants, func(v Variant) string { return v.Name }, nil); err != nil {
		return err
	}
	// Not every scenario is worth running every time; each can be asked for.
	for _, name := range scenarios {
		if slices.Contains(Scenarios(), name) && !slices.ContainsFunc(p.Scenarios, func(s Scenario) bool { return s.Name == name }) {
			p.Scenarios = append(p.Scenarios, Scenario{Name: name})
		}
	}
	if p.Scenarios, err = keep("scenario", p.Scenarios, scenarios, func(s Scenario) string { return s.Name }, Scenarios()); err != nil {
		return err
	}
	for i := range p.Scenarios {
		p.Scenarios[i].Asked = len(scenarios) > 0
	}
	p.pair()
	return nil
}

// pair replaces a baseline or a candidate that is not among the variants: the
// baseline by the first variant that is not the candidate, the candidate by the
// last that is not the baseline. A lone variant is both.
func (p *Plan) pair() {
	names := p.VariantNames()
	missing := func(name string) bool { return oneOf("", name, names) != nil }
	if missing(p.Baseline) {
		p.Baseline = names[0]
		if p.Baseline == p.Candidate && len(names) > 1 {
			p.Baseline = names[1]
		}
	}
	if missing(p.Candidate) {
		p.Candidate = names[len(names)-1]
		if p.Candidate == p.Baseline && len(names) > 1 {
			p.Candidate = names[len(names)-2]
		}
	}
}

// keep returns the elements of have that are named in want, in the order of
// have. A name that is known but not in the plan is told apart from a typo.
func keep[T any](what string, have []T, want []string, name func(T) string, known []string) ([]T, error) {
	if len(want) == 0 {
		return have, nil
	}
	var names []string
	for _, h := range have {
		names = append(names, name(h))
	}
	if known == nil {
		known = names
	}
	for _, w := range want {
		if err := oneOf(what, w, known); err != nil {
			return nil, err
		}
		if oneOf("", w, names) != nil {
			return nil, fault.Inputf("%s %s is not in the plan; it has %s", what, w, strings.Join(names, ", "))
		}
	}
	var out []T
	for _, h := range have {
		if oneOf("", name(h), want) == nil {
			out = append(out, h)
		}
	}
	return out, nil
}

// Spec returns what the guest is told about a scenario.
func (p *Plan) Spec(s Scenario) wire.ScenarioSpec {
	return wire.ScenarioSpec{Name: s.Name, Programs: s.Programs, Steps: s.Steps, Hot: s.Hot, Rounds: s.Rounds, Seconds: s.Seconds, Seed: p.Seed}
}

func oneOf(what, got string, want []string) error {
	for _, w := range want {
		if got == w {
			return nil
		}
	}
	err := fault.Inputf("unknown %s %q: use one of %s", what, got, strings.Join(want, ", "))
	if near := nearest(got, want); near != "" {
		return fault.WithHint(err, "did you mean %q?", near)
	}
	return err
}

func duplicate(list []string) string {
	sorted := append([]string{}, list...)
	sort.Strings(sorted)
	for i := 1; i < len(sorted); i++ {
		if sorted[i] == sorted[i-1] {
			return sorted[i]
		}
	}
	return ""
}

func isName(s string) bool {
	for i, r := range s {
		ok := r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || i > 0 && (r == '-' || r == '_')
		if !ok {
			return false
		}
	}
	return s != "" && len(s) <= 40
}

// nearest returns the candidate within two edits of s, or "".
func nearest(s string, candidates []string) string {
	best, bestDist := "", 3
	for _, c := range candidates {
		if d := editDistance(s, c); d < bestDist && d < len(c) {
			best, bestDist = c, d
		}
	}
	return best
}

// editDistance is Levenshtein's.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diag := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diag
			if a[i-1] != b[j-1] {
				cost++
			}
			diag = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}

// String describes the plan in one line.
func (p *Plan) String() string {
	return fmt.Sprintf("%s on %s, %d boots each", strings.Join(p.VariantNames(), ", "), strings.Join(p.Arches, " and "), p.Boots)
}
