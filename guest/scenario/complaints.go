// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"packtest/guest/oracle"
	"packtest/guest/probe"
)

// complaints follows the kernel's log while allocations fail on purpose. The
// kernel tells of each of those at length, which is no fault of its, so that
// the console gets only errors meanwhile, and warnings are looked for here. An
// oops turns the console on again by itself.
type complaints struct {
	env   *Env
	watch *watch
	log   *probe.KernelLog
	level string
}

func newComplaints(env *Env, w *watch) (*complaints, error) {
	text, err := os.ReadFile("/proc/sys/kernel/printk")
	if err != nil {
		return nil, err
	}
	c := &complaints{env: env, watch: w, level: strings.TrimSpace(string(text))}
	if c.log, err = env.Kernel.Log(); err != nil {
		return nil, err
	}
	// Errors have level 3; what is shown is below the number.
	if err := env.Kernel.SetSysctl("kernel.printk", "4"); err != nil {
		return nil, errors.Join(err, c.log.Close())
	}
	return c, nil
}

// judge reports the warnings since it was last called. Records that were
// overwritten before they were read are an error: nobody knows what they said.
func (c *complaints) judge() error {
	var lines []string
	for {
		r, ok, err := c.log.Next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		lines = append(lines, r.Text)
	}
	c.watch.report(oracle.Complaints(lines))
	if n := c.log.Lost; n > 0 {
		return fmt.Errorf("the kernel's log lost %d records before they were read", n)
	}
	return nil
}

// close judges what came last, and has the console show everything again.
func (c *complaints) close() error {
	return errors.Join(c.judge(), c.env.Kernel.SetSysctl("kernel.printk", c.level), c.log.Close())
}
