// SPDX-License-Identifier: GPL-2.0-or-later

package metric

import (
	"regexp"
	"testing"
)

func TestCatalogueIsSound(t *testing.T) {
	name := regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	seen := map[string]bool{}
	for _, d := range Catalogue() {
		if !name.MatchString(d.Name) || seen[d.Name] {
			t.Errorf("name %q is malformed or stands twice", d.Name)
		}
		seen[d.Name] = true
		if d.Unit == "" || d.Help == "" || d.Tier == "" {
			t.Errorf("%s lacks its unit, help or tier", d.Name)
		}
		if d.Better != Lower && d.Better != Higher && d.Better != Neither {
			t.Errorf("%s: better = %q", d.Name, d.Better)
		}
	}
}

func TestNewRefusesMistakes(t *testing.T) {
	for name, f := range map[string]func(){
		"unknown metric": func() { New("no_such_metric", nil, 1) },
		"unknown label":  func() { New("jit_pages", map[string]string{"x": "1"}, 1) },
		"no values":      func() { New("jit_pages", nil) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}

func TestLabelString(t *testing.T) {
	if got := LabelString(map[string]string{"b": "2", "a": "1"}); got != "a=1 b=2" {
		t.Errorf("LabelString = %q", got)
	}
}
