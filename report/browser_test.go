// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"packtest/internal/need"
	"packtest/results"
)

//go:embed testdata/looked.js
var looked string

// browser starts a browser without a window that ends with the test. No name
// resolves in it, so that a page which asks for something asks in vain.
func browser(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		need.Missing(t, "chromium is not installed (scripts/setup test installs it)")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND"),
		chromedp.WSURLReadTimeout(2*time.Minute)) // beside a kernel's build
	if os.Geteuid() == 0 {
		opts = append(opts, chromedp.NoSandbox)
	}
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return ctx
}

// inspect shows the page in a tab of the browser, on a telephone and on a desk, by
// day and by night, and returns what is wrong with it.
func inspect(t *testing.T, browser context.Context, page []byte) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(file, page, 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := chromedp.NewContext(browser)
	defer cancel()
	var mu sync.Mutex
	var wrong []string
	complain := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		wrong = append(wrong, fmt.Sprintf(format, args...))
	}
	err := chromedp.Listen(ctx, func(ev any) {
		if r, ok := ev.(*network.EventRequestWillBeSent); ok && r.Request.URL != "file://"+file {
			complain("network: %s is asked for", r.Request.URL)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	console := chromedp.Console(ctx)
	err = chromedp.Do(ctx,
		chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
			_, err := cdp.Call(ctx, tab, network.Enable, network.EnableParams{})
			return err
		}),
		chromedp.EmulateViewport(360, 800, chromedp.EmulateMobile),
		chromedp.Navigate("file://"+file))
	if err != nil {
		t.Fatal(err)
	}
	views := map[string][]string{}
	for _, width := range []int64{360, 1200} {
		for _, scheme := range []string{"light", "dark"} {
			screen := chromedp.EmulateViewport(width, 800)
			if width == 360 {
				screen = chromedp.EmulateViewport(width, 800, chromedp.EmulateMobile)
			}
			if err := chromedp.Do(ctx, screen, prefer(scheme)); err != nil {
				t.Fatal(err)
			}
			found, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](fmt.Sprintf("%s(%d, %t)", looked, width, scheme == "dark")))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range found {
				views[f] = append(views[f], fmt.Sprintf("%d %s", width, scheme))
			}
			if *look != "" {
				picture(t, ctx, fmt.Sprintf("%s %d %s.png", filepath.Base(t.Name()), width, scheme))
			}
		}
	}
	for _, f := range slices.Sorted(maps.Keys(views)) {
		complain("%s (%s)", f, strings.Join(views[f], ", "))
	}
	// What the page said and asked for has arrived when this has.
	const last = "that was all"
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`console.debug("`+last+`"), true`)); err != nil {
		t.Fatal(err)
	}
	for m, err := range console {
		if err != nil {
			t.Fatal(err)
		}
		if m.Text == last {
			break
		}
		complain("console: %s: %s", m.Type, m.Text)
	}
	mu.Lock()
	defer mu.Unlock()
	return wrong
}

// picture writes what the browser shows into the folder that -look names.
func picture(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	b, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*look, name), b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func prefer(scheme string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		return err
	})
}

// pages are those that packtest writes: of every record that a renderer must
// cope with, of the reference run, and of a history.
func pages(t *testing.T) map[string][]byte {
	t.Helper()
	list := map[string][]byte{}
	put := func(name string, write func(*bytes.Buffer) error) {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		list[name] = b.Bytes()
	}
	recs := records()
	recs["check"], recs["search"] = checkRecord(), bisectRecord()
	for name, rec := range recs {
		put(name, func(b *bytes.Buffer) error { return HTML(b, Build(rec)) })
	}
	reference, err := results.NewStore("../results").Load("reference")
	if err != nil {
		t.Fatal(err)
	}
	put("reference", func(b *bytes.Buffer) error { return HTML(b, Build(reference)) })
	for name, runs := range map[string][]results.Summary{"nightly": nights(), "nightly of one": nights()[:1], "nightly of none": nil} {
		n := NewNightly(runs, "")
		n.Folder = "../"
		put(name, func(b *bytes.Buffer) error { return n.HTML(b) })
	}
	// This one was made of records that are not kept.
	if list["reference nightly"], err = os.ReadFile("../results/reference/nightly.html"); err != nil {
		t.Fatal(err)
	}
	return list
}

// Pages are looked at in a browser: nothing comes from elsewhere, all can be
// read on a telephone, in both faces, and every way within leads somewhere.
func TestPagesInABrowser(t *testing.T) {
	b := browser(t)
	for name, page := range pages(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, w := range inspect(t, b, page) {
				t.Error(w)
			}
		})
	}
}

// Each of these is wrong with a page, and is seen.
func TestBrokenPagesInABrowser(t *testing.T) {
	const head = `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>x</title>
<style>:root { color-scheme: light dark } body { margin: 8px; overflow-wrap: anywhere } .s { overflow-x: auto } svg { display: block; width: 100px; height: 20px }</style></head><body>`
	const svg = `<svg role="img" aria-label="x" viewBox="0 0 100 20"><path d="M0 0h9v9z"/>%s</svg>`
	b := browser(t)
	for _, tc := range []struct{ name, page, want string }{
		{"sound", head + `words <a href="#x">x</a><p id="x" class="s"><b style="display: block; width: 900px">wide</b></p>` +
			fmt.Sprintf(svg, `<text x="1" y="15" font-size="12" fill="CanvasText">x</text>`), ""},
		{"image", head + `words <img alt="" src="http://127.0.0.1:9/x.png">`, "network: http://127.0.0.1:9/x.png is asked for"},
		{"file beside", head + `words <link rel="stylesheet" href="x.css">`, "x.css is asked for"},
		{"import", head + `words <style>@import "http://127.0.0.1:9/x.css";</style>`, "network: http://127.0.0.1:9/x.css is asked for"},
		{"script that fails", head + `words <script>fail()</script>`, "console: exception: "},
		{"script that warns", head + `words <script>console.warn("so")</script>`, "console: warning: so"},
		{"against the page's own policy", `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">` + head + `words <script>1</script>`,
			"Content Security Policy"},
		{"not for a telephone", strings.Replace(head, "device-width", "980", 1) + "words", "width: laid out 980 wide on a screen of 360 (360 light, 360 dark)"},
		{"wide", head + `<p style="width: 500px">words</p>`, "width: the page scrolls sideways, 508 wide (360 light, 360 dark)"},
		{"sticks out to the left", head + `<p style="margin-left: -30px">words</p>`, "width: <p> sticks out (360 light, 360 dark, 1200 light, 1200 dark)"},
		{"no dark face", strings.Replace(head, "light dark", "light", 1) + "words", "scheme: the page's luminance is 1.00 (360 dark, 1200 dark)"},
		{"no light face", strings.Replace(head, "light dark", "dark", 1) + "words", " (360 light, 1200 light)"},
		{"faint", head + `<p style="color: #888">faint</p>`, `contrast: 3.54 in <p> "faint" (360 light, 1200 light)`},
		{"faint by night", head + `<p style="color: #444">faint</p>`, `in <p> "faint" (360 dark, 1200 dark)`},
		{"faint in a cell", head + `<table style="opacity: .4"><tr><td>faint</td></tr></table>`, `in <td> "faint" (360 light, 1200 light)`},
		{"faint on its ground", head + `<p style="background: #999"><b style="background: rgba(0, 0, 0, 0); color: #fff">faint</b></p>`, `contrast: 2.85 in <b> "faint" (360 light, 360 dark, 1200 light, 1200 dark)`},
		{"faint in a drawing", head + "words" + fmt.Sprintf(svg, `<text x="1" y="15" font-size="12">faint</text>`), `in <text> "faint" (360 dark, 1200 dark)`},
		{"small", head + `<p style="font-size: 6px">small</p>`, `size: letters 6.0 high in <p> "small"`},
		{"small in a drawing", head + "words" + fmt.Sprintf(svg, `<text x="1" y="15" font-size="4" fill="#777">small</text>`), `size: letters`},
		{"blank", head, "text: there is none"},
		{"drawing without a name", head + `words <svg class="plot" role="img" viewBox="0 0 9 9"><path d="M0 0h9v9z"/></svg>`, "drawing: <svg.plot> has no name"},
		{"drawing that is no image", head + `words <svg aria-label="x" viewBox="0 0 9 9"><path d="M0 0h9v9z"/></svg>`, "drawing: <svg> has no name"},
		{"drawing without a size", head + `words <svg style="height: 0" role="img" aria-label="x" viewBox="0 0 9 9"><path d="M0 0h9v9z"/></svg>`, `drawing: <svg> "x" is 100 by 0`},
		{"drawing of nothing", head + `words <svg role="img" aria-label="x" viewBox="0 0 9 9"><path d=""/></svg>`, `drawing: <svg> "x" is empty`},
		{"label cut off", head + "words" + fmt.Sprintf(svg, `<text x="90" y="15" font-size="12" fill="#777">cut off</text>`), `drawing: "cut off" is cut off in "x"`},
		{"labels on each other", head + "words" + fmt.Sprintf(svg, `<text x="1" y="15" font-size="12" fill="#777">one</text><text x="9" y="17" font-size="12" fill="#777">two</text>`),
			`drawing: "one" and "two" lie on each other in "x"`},
		{"way to nowhere", head + `<a href="#there">there</a>`, `anchor: "there" leads to #there`},
		{"way out", head + `<a href="https://example.org/">out</a>`, `anchor: "out" leads to https://example.org/`},
		{"two of a name", head + `<p id="x">one</p><p id="x">two</p>`, "anchor: two places are called x"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			wrong := inspect(t, b, []byte(tc.page))
			if tc.want == "" && len(wrong) > 0 {
				t.Errorf("wrong with a sound page: %q", wrong)
			}
			if !slices.ContainsFunc(wrong, func(w string) bool { return strings.Contains(w, tc.want) }) && tc.want != "" {
				t.Errorf("wrong with it: %q, want %q", wrong, tc.want)
			}
		})
	}
}
