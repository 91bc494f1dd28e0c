// SPDX-License-Identifier: GPL-2.0-or-later

// Package results is the record of a run: its schema, the store that keeps runs
// under results/, and the index over them. The record is the one truth about a
// run; every report is made from it alone. How values are compared and shown is
// left to others.
package results

import (
	"time"

	"packtest/guest/wire"
	"packtest/metric"
)

// Schema is the version of the record. Fields are added freely; a field is
// never given another meaning. docs/record.md describes every one.
const Schema = 1

// Verdict is what a run, or one comparison in it, comes to.
type Verdict string

// The verdicts, from DESIGN's words.
const (
	Pass          Verdict = "pass"
	Regressed     Verdict = "regressed"
	Improved      Verdict = "improved"
	Inconclusive  Verdict = "inconclusive"
	Unchanged     Verdict = "unchanged" // the same binary
	KernelFailed  Verdict = "kernel-failed"
	HarnessFailed Verdict = "harness-failed"
	Interrupted   Verdict = "interrupted" // ended by the user; proves nothing
)

// Record is everything that is known about one run.
type Record struct {
	Schema     int          `json:"schema"`
	ID         string       `json:"id"`
	Started    time.Time    `json:"started"`
	Finished   time.Time    `json:"finished"`
	Verdict    Verdict      `json:"verdict"`
	Why        string       `json:"why"` // one sentence for the verdict
	Command    []string     `json:"command"`
	Seed       uint64       `json:"seed"`
	Baseline   string       `json:"baseline"`  // the variant the others are compared with
	Candidate  string       `json:"candidate"` // the variant the verdict is about
	Provenance Provenance   `json:"provenance"`
	Planned    []Planned    `json:"planned"` // what the run set out to do; what is missing from the rest shows against it
	Cells      []Cell       `json:"cells"`
	Boots      []Boot       `json:"boots"`
	Samples    []Sample     `json:"samples"`
	Findings   []Finding    `json:"findings"`
	Unmeasured []Unmeasured `json:"not_measured"`
	Layouts    []Layout     `json:"layouts"`
	Notes      []string     `json:"notes,omitempty"` // what the harness did that a reader should know, such as a retry
	Resume     *Resume      `json:"resume,omitempty"`
	Sittings   []Sitting    `json:"sittings,omitempty"` // of a run that was resumed; one that was not had one
	Against    *Against     `json:"against,omitempty"`
	Bisection  *Bisection   `json:"bisection,omitempty"`
	// Tolerances are how far a metric may move where the plan says so.
	Tolerances map[string]metric.Tolerance `json:"tolerances,omitempty"`
	// Check is set if the run looked at a series patch by patch.
	Check *Check `json:"check,omitempty"`
}

// Resume is what it takes to go on with a run that was cut short.
type Resume struct {
	// Plan is all that the run was asked to do, flags included, as a plan file.
	Plan string `json:"plan"`
	// Asked are the scenarios that were asked for by their names, which no plan file
	// can say: they are not left out where the machine can't carry them out.
	Asked []string `json:"asked,omitempty"`
	// FirstFinding is set if a kernel on which something was found is left alone.
	FirstFinding bool `json:"first_finding,omitempty"`
	// Build names the packtest that began the run, and with it the guest that
	// was in its kernels.
	Build string `json:"build"`
	// Search is set if a patch was searched for.
	Search *Search `json:"search,omitempty"`
}

// Search is what a search for a patch was asked to do.
type Search struct {
	// Finding is the kind of a finding, or part of its title; Metric is a metric.
	Finding string `json:"finding,omitempty"`
	Metric  string `json:"metric,omitempty"`
	// Confidence is how likely the answer has to be.
	Confidence float64 `json:"confidence"`
	// Tries is how often the whole series is looked at until it shows something,
	// and Looks how many looks there are at most.
	Tries int `json:"tries"`
	Looks int `json:"looks"`
}

// Sitting is one stretch of a run that was interrupted and resumed.
type Sitting struct {
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"` // the zero time if it never ended by itself
	Command  []string  `json:"command"`
}

// Against is what came of comparing the run's candidate with an earlier run's.
type Against struct {
	ID      string  `json:"id"`
	Verdict Verdict `json:"verdict"`
	Why     string  `json:"why"`
}

// Provenance tells what the run was made with.
type Provenance struct {
	Packtest    string            `json:"packtest"` // version of packtest
	Base        Base              `json:"base"`
	Series      []Series          `json:"series"`
	Host        Host              `json:"host"`
	Tools       map[string]string `json:"tools"`          // "gcc-x86_64", "gcc-s390x", "qemu-x86_64", ... -> version line
	Accelerator map[string]string `json:"accelerator"`    // arch -> kvm or tcg
	Plan        string            `json:"plan,omitempty"` // the plan file's text, if there was one
	// Geometries is the text of the file of instruction TLBs that were simulated
	// beside those that packtest carries, if there was one.
	Geometries string `json:"geometries,omitempty"`
}

// Base is the kernel source the run started from.
type Base struct {
	Spec    string `json:"spec"`             // as the user gave it
	Version string `json:"version"`          // "6.1.192-2", a tag, ...
	SHA256  string `json:"sha256,omitempty"` // of the package or tarball
	Commit  string `json:"commit"`           // in the cache's git tree
}

// Series is one series used in a stack.
type Series struct {
	Name       string   `json:"name"`
	Title      string   `json:"title,omitempty"`       // the cover letter's
	BaseCommit string   `json:"base_commit,omitempty"` // on which it says it was made
	SHA256     string   `json:"sha256"`
	Patches    []string `json:"patches"`
}

// Host is the machine the run was made on.
type Host struct {
	CPU    string `json:"cpu"`
	CPUs   int    `json:"cpus"`
	Memory int64  `json:"memory_bytes"`
	Kernel string `json:"kernel"`
	OS     string `json:"os"`
}

// Planned is one scenario that the plan asked of one cell. A record whose plan
// is not carried out in full is never a pass, so it is written down before the
// first boot.
type Planned struct {
	Arch     string `json:"arch"`
	Variant  string `json:"variant"`
	Scenario string `json:"scenario"`
	Boots    int    `json:"boots"` // how many boots carry the scenario out
	// LeftOut is why it can't be carried out on this machine, and was left out; ""
	// if it wasn't.
	LeftOut string `json:"left_out,omitempty"`
}

// Cell is one kernel.
type Cell struct {
	Arch    string   `json:"arch"`
	Variant string   `json:"variant"`
	Config  string   `json:"config"`
	Stack   []string `json:"stack"` // names of the series, in order
	Commit  string   `json:"commit"`
	Image   string   `json:"image_sha256"`
	// Modules is the sum of the modules that come with the image; missing if there
	// are none, and in records of long ago.
	Modules string `json:"modules_sha256,omitempty"`
	// Objects and BuildSeconds are of the build that made the image, which is
	// this run's own only if Cached is false.
	Objects      int     `json:"objects"`
	BuildSeconds float64 `json:"build_seconds"`
	Cached       bool    `json:"cached"`
	// Incremental is set if that build found another variant's objects and
	// compiled only what differs: Objects is then not all of the kernel.
	Incremental  bool   `json:"incremental,omitempty"`
	ConfigSHA256 string `json:"config_sha256"`
	ConfigFile   string `json:"config_file"` // in the run's folder
	// SameAs names the variant whose image and modules are this one's, byte for byte.
	SameAs string `json:"same_as,omitempty"`
	// Error is set if the cell could not be built, and Fault then says whose
	// fault that was, in fault.Kind's words; empty means the harness's.
	Error string `json:"error,omitempty"`
	Fault string `json:"fault,omitempty"`
}

// EndingDone is the Ending of a boot that did all it was asked to do. Any other
// word means that what the boot left behind is incomplete.
const EndingDone = "done"

// Boot is one start of one cell's kernel.
type Boot struct {
	Arch        string            `json:"arch"`
	Variant     string            `json:"variant"`
	Number      int               `json:"number"` // counts the cell's boots from 1
	Scenarios   []string          `json:"scenarios"`
	Started     time.Time         `json:"started"`
	Seconds     float64           `json:"seconds"`
	Ending      string            `json:"ending"` // vm's word for how it ended
	Detail      string            `json:"detail,omitempty"`
	Fault       string            `json:"fault,omitempty"` // whose fault another ending than done was, in fault.Kind's words; empty means the harness's
	Accelerator string            `json:"accelerator"`
	QEMU        string            `json:"qemu"`
	Cmdline     string            `json:"cmdline"`
	CPUs        int               `json:"cpus"`
	MemoryMiB   int               `json:"memory_mib"`
	Console     string            `json:"console"` // in the run's folder
	Release     string            `json:"release,omitempty"`
	Mitigations map[string]string `json:"mitigations,omitempty"`
	// Kept is set if the boot's results were not made in this run but kept
	// with the kernel image (test_bpf, itlb); Started says when it ran.
	Kept bool `json:"kept,omitempty"`
	// Sitting counts the run's sittings from 1; missing means the first.
	Sitting int `json:"sitting,omitempty"`
	// Trace is set if the boot's instruction fetches were traced.
	Trace *Trace `json:"trace,omitempty"`
}

// Trace tells of a trace of instruction fetches, which itself is not kept: a
// boot of the same image on the same QEMU gives the same one, byte for byte.
type Trace struct {
	SHA256  string `json:"sha256"`
	Bytes   int64  `json:"bytes"`
	Events  uint64 `json:"events"`
	Windows int    `json:"windows"`
	Plugin  string `json:"plugin"` // identifies the plugin's source and how it was built
}

// Sample is one metric's values in one cell and scenario. The fields of
// metric.Sample stand beside arch, variant and scenario in the JSON.
type Sample struct {
	Arch     string `json:"arch"`
	Variant  string `json:"variant"`
	Scenario string `json:"scenario"`
	metric.Sample
}

// ScenarioFailed is the kind of a finding that says that a scenario could not be
// carried out.
const ScenarioFailed = "scenario-failed"

// Finding is something wrong.
type Finding struct {
	Arch     string `json:"arch"`
	Variant  string `json:"variant"`
	Scenario string `json:"scenario"`
	Kind     string `json:"kind"`
	Title    string `json:"title"`
	Evidence string `json:"evidence"`
	// Fingerprint tells apart findings whose titles are the same: where in the
	// kernel it was, or a digest of what was seen. May be empty, as it is where there
	// are cases.
	Fingerprint string `json:"fingerprint,omitempty"`
	Boot        int    `json:"boot,omitempty"`
	// Seconds is how long after QEMU's start it was seen; 0 if that is not known.
	Seconds float64 `json:"seconds,omitempty"`
	// Cases is how large the trouble is: how many programs or pages it is about, or
	// how much does not come back; 0 where that says nothing or hangs on chance.
	Cases int `json:"cases,omitempty"`
	// OnBaseline is set if the same finding was made on the baseline too:
	// then it is listed, and not held against the candidate.
	OnBaseline bool `json:"on_baseline,omitempty"`
}

// Unmeasured says what could not be measured, and why.
type Unmeasured struct {
	Arch     string `json:"arch"`
	Variant  string `json:"variant"`
	Scenario string `json:"scenario"`
	Metric   string `json:"metric"`
	Why      string `json:"why"`
}

// Layout is where JIT code lay in one cell at one moment.
type Layout struct {
	Arch     string `json:"arch"`
	Variant  string `json:"variant"`
	Scenario string `json:"scenario"`
	wire.Layout
}

// Fault is what makes two findings the same trouble, on whichever variant.
type Fault struct{ Arch, Scenario, Kind, Title, Fingerprint string }

// Fault returns what the finding is about, without the variant and the boot.
func (f Finding) Fault() Fault {
	return Fault{f.Arch, f.Scenario, f.Kind, f.Title, f.Fingerprint}
}
