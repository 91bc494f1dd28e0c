// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"packtest/compare"
	"packtest/results"
)

// TestRecordPage holds docs/record.md against the code: a section for every
// type in a record, with every JSON key in it, once, and none that isn't there.
func TestRecordPage(t *testing.T) {
	text, err := os.ReadFile("../docs/record.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)` \\| ([^|]+) \\| (.*)\\|$")
	type says struct{ typ, meaning string }
	sections := map[string]map[string]says{}
	for _, part := range strings.Split(string(text), "\n## ")[1:] {
		title, body, _ := strings.Cut(part, "\n")
		keys := map[string]says{}
		for _, m := range row.FindAllStringSubmatch(body, -1) {
			if _, twice := keys[m[1]]; twice {
				t.Errorf("%s: %s stands twice", title, m[1])
			}
			keys[m[1]] = says{m[2], m[3]}
		}
		sections[title] = keys
	}
	types := map[string]reflect.Type{}
	structsIn(reflect.TypeFor[results.Record](), types)
	structsIn(reflect.TypeFor[compare.Comparison](), types)
	for name, typ := range types {
		keys := sections[name]
		if keys == nil {
			t.Errorf("the page has no section %s", name)
			continue
		}
		for _, f := range reflect.VisibleFields(typ) {
			if f.Anonymous {
				continue
			}
			key, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
			if key == "" || key == "-" {
				t.Errorf("%s.%s has no JSON key", name, f.Name)
				continue
			}
			said, ok := keys[key]
			if !ok {
				t.Errorf("section %s lacks %s", name, key)
				continue
			}
			if want := jsonType(f.Type); said.typ != want {
				t.Errorf("section %s: %s is %s, the page says %s", name, key, want, said.typ)
			}
			if may := strings.HasPrefix(said.meaning, "may be missing"); may != strings.Contains(opts, "omitempty") {
				t.Errorf("section %s: %s: the page says that it may be missing: %v", name, key, may)
			}
			delete(keys, key)
		}
		for key := range keys {
			t.Errorf("section %s has %s, the code doesn't", name, key)
		}
		delete(sections, name)
	}
	for name := range sections {
		t.Errorf("the page has a section %s, the record no such type", name)
	}
}

// structsIn collects the struct types that typ is made of, by name. The
// embedded ones belong to the type that embeds them.
func structsIn(typ reflect.Type, into map[string]reflect.Type) {
	switch typ.Kind() {
	case reflect.Slice, reflect.Map, reflect.Pointer:
		structsIn(typ.Elem(), into)
	case reflect.Struct:
		if typ.Name() == "Time" || into[typ.Name()] != nil {
			return
		}
		into[typ.Name()] = typ
		for _, f := range reflect.VisibleFields(typ) {
			if !f.Anonymous {
				structsIn(f.Type, into)
			}
		}
	}
}

// jsonType names a Go type as the page does.
func jsonType(typ reflect.Type) string {
	switch typ.Kind() {
	case reflect.Slice:
		return jsonType(typ.Elem()) + "[]"
	case reflect.Map:
		return "{" + jsonType(typ.Elem()) + "}"
	case reflect.Pointer:
		return jsonType(typ.Elem())
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "bool"
	case reflect.Struct:
		if typ.Name() == "Time" {
			return "time"
		}
		return typ.Name()
	}
	return "number"
}

// TestREADME holds what README.md shows of a run against the reference run.
func TestREADME(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	rec, err := results.NewStore("../results").Load("reference")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := Write(&b, "text", rec); err != nil {
		t.Fatal(err)
	}
	shown, _, ok := strings.Cut(b.String(), "\n\nlib/test_bpf")
	if !ok {
		t.Fatalf("the report has no suite:\n%s", b.String())
	}
	var block strings.Builder
	for line := range strings.Lines(shown) {
		block.WriteString(strings.TrimRight("    "+line, " \n") + "\n")
	}
	if !strings.Contains(string(readme), "\n\n"+block.String()+"\n") {
		t.Errorf("README.md doesn't have this as it is:\n%s", block.String())
	}
}
