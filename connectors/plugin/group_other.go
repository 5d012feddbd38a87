//go:build !linux

package plugin

import "syscall"

// group makes a process the leader of its own group. That we have died, it sees by its standard input alone.
func group() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
