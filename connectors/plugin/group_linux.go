package plugin

import "syscall"

// group makes a process the leader of its own group, and has the kernel end it when we die, even of kill -9.
func group() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
