// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/perf/benchfmt"

	"packtest/compare"
	"packtest/internal/cache"
	"packtest/internal/need"
	"packtest/kernel/source"
	"packtest/results"
)

// testRecords are the records that every form of report is tested with, and the
// exit code of each one's verdict.
func testRecords() map[string]*results.Record {
	return map[string]*results.Record{"example": exampleRecord(), "failed": failedRecord(), "single": singleRecord(), "empty": emptyRecord(), "check": checkRecord(),
		"odd": oddRecord(), "long": longRecord(), "long check": longCheck(), "long search": longSearch()}
}

func TestFormatGoldens(t *testing.T) {
	for name, rec := range map[string]*results.Record{"example": exampleRecord(), "failed": failedRecord(), "empty": emptyRecord()} {
		for _, format := range []string{"junit", "ktap", "bench", "b4"} {
			golden(t, name+"."+format, func(w io.Writer) error { return Write(w, format, rec) })
		}
	}
}

// No test report is green unless the verdict is, and none is red if it is.
func TestChecksFollowTheVerdict(t *testing.T) {
	recs := testRecords()
	hung := exampleRecord()
	for i := range hung.Boots {
		if b := &hung.Boots[i]; b.Variant == "pack" && b.Arch == "s390x" && b.Number == 3 {
			b.Ending, b.Fault = "hang", "kernel"
			again := *b
			again.Number, again.Ending, again.Fault = 99, results.EndingDone, ""
			hung.Boots = append(hung.Boots, again)
			break
		}
	}
	recs["hung once"] = hung
	baseline := exampleRecord()
	baseline.Findings = []results.Finding{{Arch: "s390x", Variant: "nopack", Scenario: "load+drain", Kind: "warning", Title: "x"}}
	recs["finding on the baseline"] = baseline
	harness := exampleRecord()
	harness.Boots = harness.Boots[1:]
	recs["a boot is missing"] = harness
	worse := exampleRecord()
	for i := range worse.Samples {
		if s := &worse.Samples[i]; s.Metric == "jit_pages" && s.Variant == "pack" {
			for j := range s.Values {
				s.Values[j] *= 100
			}
		}
	}
	recs["worse"] = worse
	for name, rec := range recs {
		d := Build(rec)
		want := compare.ExitCode(d.Verdict)
		marks := map[Mark][]string{}
		for _, c := range d.Checks {
			marks[c.Mark] = append(marks[c.Mark], c.Arch+" "+c.Name)
			if c.Mark != Passed && c.Says == "" {
				t.Errorf("%s: %s says nothing", name, c.Name)
			}
		}
		switch {
		case want == 0 && len(marks[Failed])+len(marks[Broken]) > 0:
			t.Errorf("%s: %s, but %q failed and %q is broken", name, d.Verdict, marks[Failed], marks[Broken])
		case want == 1 && len(marks[Failed]) < 2 && rec.Bisection == nil: // a search has no other check
			t.Errorf("%s: %s, and nothing but %q failed", name, d.Verdict, marks[Failed])
		case want > 1 && len(marks[Broken]) == 0:
			t.Errorf("%s: %s, and nothing is broken", name, d.Verdict)
		}
		last := d.Checks[len(d.Checks)-1]
		if last.Arch != wholeRun || (last.Mark == Passed) != (want == 0) {
			t.Errorf("%s: the last check is %+v", name, last)
		}
	}
}

// The types below hold everything that the JUnit format has, as Jenkins and
// GitLab read it; what is not in them lands in the rests and is an error.
type junitRest struct {
	Attrs []xml.Attr `xml:",any,attr"`
	Nodes []struct {
		XMLName xml.Name
	} `xml:",any"`
}

type junitResult struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
	junitRest
}

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Skipped  int          `xml:"skipped,attr"`
	Suites   []junitSuite `xml:"testsuite"`
	junitRest
}

type junitSuite struct {
	Name      string  `xml:"name,attr"`
	Tests     int     `xml:"tests,attr"`
	Failures  int     `xml:"failures,attr"`
	Errors    int     `xml:"errors,attr"`
	Skipped   int     `xml:"skipped,attr"`
	ID        int     `xml:"id,attr"`
	Package   string  `xml:"package,attr"`
	Time      float64 `xml:"time,attr"`
	Timestamp string  `xml:"timestamp,attr"`
	Cases     []struct {
		Name      string        `xml:"name,attr"`
		Classname string        `xml:"classname,attr"`
		Time      float64       `xml:"time,attr"`
		Skipped   []junitResult `xml:"skipped"`
		Error     []junitResult `xml:"error"`
		Failure   []junitResult `xml:"failure"`
		Out       []string      `xml:"system-out"`
		junitRest
	} `xml:"testcase"`
	junitRest
}

func TestJUnit(t *testing.T) {
	for name, rec := range testRecords() {
		d := Build(rec)
		var b bytes.Buffer
		if err := JUnit(&b, d); err != nil {
			t.Fatal(err)
		}
		dec := xml.NewDecoder(&b)
		var all junitSuites
		if err := dec.Decode(&all); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for tok, err := dec.Token(); !errors.Is(err, io.EOF); tok, err = dec.Token() {
			if blank, ok := tok.(xml.CharData); err != nil || !ok || len(bytes.TrimSpace(blank)) > 0 {
				t.Fatalf("%s: %v stands behind the document (%v)", name, tok, err)
			}
		}
		noRest(t, name, all.junitRest)
		var tests, failures, broken, skipped int
		seen := map[string]bool{}
		for _, s := range all.Suites {
			noRest(t, name, s.junitRest)
			var f, e, k int
			for _, c := range s.Cases {
				noRest(t, name, c.junitRest)
				for _, r := range append(append(append([]junitResult{}, c.Skipped...), c.Error...), c.Failure...) {
					noRest(t, name, r.junitRest)
					if r.Message == "" {
						t.Errorf("%s: %s has no message", name, c.Name)
					}
				}
				if len(c.Skipped)+len(c.Error)+len(c.Failure) > 1 || len(c.Out) > 1 {
					t.Errorf("%s: %s has several results", name, c.Name)
				}
				if key := c.Classname + "." + c.Name; c.Name == "" || c.Classname == "" || seen[key] {
					t.Errorf("%s: %q has no name of its own", name, key)
				} else {
					seen[key] = true
				}
				f, e, k = f+len(c.Failure), e+len(c.Error), k+len(c.Skipped)
			}
			if s.Tests != len(s.Cases) || s.Failures != f || s.Errors != e || s.Skipped != k {
				t.Errorf("%s: suite %s counts %d, %d, %d, %d, and has %d, %d, %d, %d", name, s.Name, s.Tests, s.Failures, s.Errors, s.Skipped, len(s.Cases), f, e, k)
			}
			tests, failures, broken, skipped = tests+s.Tests, failures+f, broken+e, skipped+k
		}
		if all.Tests != tests || all.Failures != failures || all.Errors != broken || all.Skipped != skipped || tests != len(d.Checks) {
			t.Errorf("%s: counts %d, %d, %d, %d, and has %d, %d, %d, %d of %d checks", name, all.Tests, all.Failures, all.Errors, all.Skipped, tests, failures, broken, skipped, len(d.Checks))
		}
		if fails := compare.ExitCode(d.Verdict) != 0; fails != (all.Failures+all.Errors > 0) {
			t.Errorf("%s: %s, with %d failures and %d errors", name, d.Verdict, all.Failures, all.Errors)
		}
	}
}

func noRest(t *testing.T, name string, r junitRest) {
	t.Helper()
	for _, a := range r.Attrs {
		t.Errorf("%s: attribute %s is none of JUnit's", name, a.Name.Local)
	}
	for _, n := range r.Nodes {
		t.Errorf("%s: element %s is none of JUnit's", name, n.XMLName.Local)
	}
}

// The kernel's own parser reads the KTAP and counts what is in it.
func TestKTAP(t *testing.T) {
	dir := kunitParser(t)
	for name, rec := range testRecords() {
		t.Run(name, func(t *testing.T) {
			d := Build(rec)
			var b, out, diag bytes.Buffer
			if err := KTAP(&b, d); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("python3", "-c", `
import sys, kunit_parser
t = kunit_parser.parse_run_tests(kunit_parser.extract_tap_lines(sys.stdin))
c = t.counts
print("RESULT", t.status.name, c.passed, c.failed, c.crashed, c.skipped, c.errors)
for s in t.subtests:
    print("SUITE", s.name, s.status.name, len(s.subtests))
`)
			cmd.Env = append(os.Environ(), "PYTHONPATH="+dir, "PYTHONDONTWRITEBYTECODE=1", "PYTHONIOENCODING=utf-8", "NO_COLOR=1")
			cmd.Stdin, cmd.Stdout, cmd.Stderr = &b, &out, &diag
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v\n%s", err, diag.String())
			}
			count := map[Mark]int{}
			want := []string{}
			for _, checks := range suites(d.Checks) {
				status := "SKIPPED"
				for _, c := range checks {
					count[c.Mark]++
					switch {
					case c.Mark == Failed || c.Mark == Broken:
						status = "FAILURE"
					case c.Mark == Passed && status == "SKIPPED":
						status = "SUCCESS"
					}
				}
				want = append(want, fmt.Sprintf("SUITE %s %s %d", ktapText(checks[0].Arch), status, len(checks)))
			}
			status := "SUCCESS"
			if compare.ExitCode(d.Verdict) != 0 {
				status = "FAILURE"
			}
			want = append([]string{fmt.Sprintf("RESULT %s %d %d 0 %d 0", status, count[Passed], count[Failed]+count[Broken], count[Skipped])}, want...)
			var got []string
			for _, l := range strings.Split(out.String(), "\n") {
				if strings.HasPrefix(l, "RESULT ") || strings.HasPrefix(l, "SUITE ") {
					got = append(got, l)
				}
			}
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("the parser says\n%s\nwant\n%s\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"), out.String())
			}
		})
	}
}

// kunitParser takes the parser out of Debian's kernel source, which is unpacked
// in the cache the first time.
func kunitParser(t *testing.T) string {
	t.Helper()
	need.Long(t)
	need.Commands(t, "python3", "git", "xz")
	need.File(t, "/usr/src/linux-source-6.1.tar.xz")
	root, err := cache.DefaultRoot()
	if err != nil {
		t.Fatal(err)
	}
	c, err := cache.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	base, err := source.Resolve(t.Context(), c, "debian:linux-source-6.1", nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, f := range []string{"kunit_parser.py", "kunit_printer.py"} {
		text, err := base.Git().Run(t.Context(), "show", base.Commit+":tools/testing/kunit/"+f)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, f), []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Everything in the record stands in the benchmarks, as the format's own reader
// sees them.
func TestBench(t *testing.T) {
	for name, rec := range testRecords() {
		var b bytes.Buffer
		if err := Bench(&b, rec); err != nil {
			t.Fatal(err)
		}
		r := benchfmt.NewReader(&b, name)
		values := 0
		for r.Scan() {
			switch x := r.Result().(type) {
			case *benchfmt.Result:
				if x.GetConfig("arch") == "" || x.GetConfig("variant") == "" {
					t.Errorf("%s: %s says not what it is of", name, x.Name)
				}
				values += len(x.Values)
			case *benchfmt.SyntaxError:
				t.Errorf("%s: %v", name, x)
			}
		}
		if err := r.Err(); err != nil {
			t.Fatal(err)
		}
		want := 0
		for _, s := range rec.Samples {
			want += len(finite(s.Values))
		}
		if values != want {
			t.Errorf("%s: %d values, the record has %d", name, values, want)
		}
	}
}

// benchstat itself makes a table of them, one column for each variant.
func TestBenchstat(t *testing.T) {
	need.Commands(t, "go")
	file := filepath.Join(t.TempDir(), "report.bench")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := Bench(f, exampleRecord()); err != nil {
		t.Fatal(err)
	}
	f.Close()
	cmd := exec.Command("go", "run", "golang.org/x/perf/cmd/benchstat", "-col", "variant", "-format", "csv", "-filter", "arch:x86_64 .unit:(jit_pages OR load_time_per_program-sec)", file)
	var out, diag bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &diag
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, diag.String())
	}
	for _, want := range []string{",nopack,,pack,,", ",jit_pages,CI,jit_pages,CI,vs base,P", "load_time_per_program-sec", "Load,0.0011"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("benchstat does not say %q:\n%s\n%s", want, out.String(), diag.String())
		}
	}
}

func TestB4(t *testing.T) {
	for name, rec := range testRecords() {
		d := Build(rec)
		var b bytes.Buffer
		if err := B4(&b, d); err != nil {
			t.Fatal(err)
		}
		dec := json.NewDecoder(&b)
		dec.DisallowUnknownFields()
		var list []struct{ Tool, Status, Summary, URL, Details string }
		if err := dec.Decode(&list); err != nil {
			t.Fatal(err)
		}
		tools, worst := map[string]bool{}, "pass"
		for _, c := range list {
			if c.Tool == "" || tools[c.Tool] || c.Summary == "" {
				t.Errorf("%s: %+v", name, c)
			}
			tools[c.Tool] = true
			switch c.Status {
			case "fail":
				worst = "fail"
			case "pass", "warn":
			default:
				t.Errorf("%s: status %q is none of b4's", name, c.Status)
			}
		}
		if (compare.ExitCode(d.Verdict) != 0) != (worst == "fail") {
			t.Errorf("%s: %s, and the worst column is %s", name, d.Verdict, worst)
		}
	}
}
