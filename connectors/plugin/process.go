package plugin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A process is a started plugin, as go-plugin's Runner wants it. It leads a group of its own, which ends with it. Its
// standard input is a pipe from us that never says anything: it closes when we end, however that is.
type process struct {
	cmd    *exec.Cmd
	folder string // of its socket
	first  *firstLine
	stdin  io.WriteCloser
	done   chan struct{} // closed when it has ended

	mu    sync.Mutex
	ran   bool   // it was started, or could not be
	pid   int    // 0: not there
	why   string // it was killed
	given bool   // up, by go-plugin
	ended string // how it ended
}

// newProcess makes one that is not started yet. Its environment has nothing of ours but the search path, by which scripts
// find their interpreter.
func newProcess(file, temp string, says io.Writer) (*process, error) {
	p := &process{first: newFirstLine(), done: make(chan struct{})}
	p.cmd = exec.Command(file)
	p.cmd.Dir = filepath.Dir(file)
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + temp, "LANG=C.UTF-8"}
	p.cmd.Stdout, p.cmd.Stderr = p.first, says
	p.cmd.SysProcAttr = group()
	p.cmd.WaitDelay = time.Second // for output that something it started still holds
	var err error
	p.stdin, err = p.cmd.StdinPipe()
	return p, err
}

// Start starts the process on a thread that stays until it ends: the kernel's signal at the parent's death is one at the
// death of the thread that started it.
func (p *process) Start(context.Context) error {
	p.mu.Lock()
	p.ran = true
	p.mu.Unlock()
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		if err != nil {
			p.over(err.Error())
			started <- err
			return
		}
		p.mu.Lock()
		p.pid = p.cmd.Process.Pid
		late := p.why != ""
		p.mu.Unlock()
		if late {
			p.killGroup()
		}
		started <- nil
		how := "it ended by itself"
		if e, ok := errors.AsType[*exec.ExitError](p.cmd.Wait()); ok {
			how = e.ProcessState.String() // "exit status 2", "signal: killed"
		}
		p.killGroup() // what it has left behind
		p.over(how)
	}()
	return <-started
}

// begun reports whether there will be an end.
func (p *process) begun() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ran
}

// over notes how it ended.
func (p *process) over(how string) {
	p.mu.Lock()
	p.pid, p.ended = 0, how
	p.mu.Unlock()
	p.first.end() // behind the lock: who misses the line asks how it ended
	close(p.done)
}

func (p *process) killGroup() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pid != 0 {
		_ = syscall.Kill(-p.pid, syscall.SIGKILL)
	}
}

// end kills the process and says why.
func (p *process) end(why string) {
	p.mu.Lock()
	if p.why == "" && p.ended == "" {
		p.why = why
	}
	p.mu.Unlock()
	p.killGroup()
}

// fate is how it ended, if it was not given up.
func (p *process) fate() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.why != "":
		return p.why
	case p.given:
		return ""
	}
	return p.ended
}

// Wait returns when it has ended.
func (p *process) Wait(context.Context) error {
	<-p.done
	return nil
}

// Kill is go-plugin's way to give up a process, about which it then says why itself.
func (p *process) Kill(context.Context) error {
	p.mu.Lock()
	p.given = p.given || p.ended == ""
	p.mu.Unlock()
	p.killGroup()
	return nil
}

// Diagnose has nothing to add to what the process says itself.
func (p *process) Diagnose(context.Context) string { return "" }

// Stdout is the line that go-plugin reads.
func (p *process) Stdout() io.ReadCloser { return p.first }

// Stderr is empty here: it goes to the log.
func (p *process) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

// Name is the file.
func (p *process) Name() string { return p.cmd.Path }

// ID is the number of the process.
func (p *process) ID() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strconv.Itoa(p.pid)
}

// PluginToHost lets a plugin name only its own socket or a port of this machine: we do not call on others for it.
func (p *process) PluginToHost(network, address string) (string, string, error) {
	switch network {
	case "unix":
		if filepath.Dir(filepath.Clean(address)) == filepath.Clean(p.folder) {
			return network, address, nil
		}
		return "", "", fmt.Errorf("its socket %.200q is not in the folder that it was given in PLUGIN_UNIX_SOCKET_DIR", address)
	case "tcp":
		if host, _, err := net.SplitHostPort(address); err == nil && net.ParseIP(host).IsLoopback() {
			return network, address, nil
		}
	}
	return "", "", fmt.Errorf("its address %.20s %.200q is neither a unix socket nor a port of 127.0.0.1", network, address)
}

// HostToPlugin changes nothing.
func (p *process) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}

// A firstLine keeps the first line that is written to it for one reader, and forgets everything behind it: what a plugin
// prints there afterwards must neither fill the memory nor stop it.
type firstLine struct {
	mu    sync.Mutex
	line  bytes.Buffer
	whole bool
	ready chan struct{}
	once  sync.Once
}

const longestLine = 8 << 10

func newFirstLine() *firstLine { return &firstLine{ready: make(chan struct{})} }

func (f *firstLine) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.whole {
		line, _, found := bytes.Cut(b, []byte("\n"))
		f.line.Write(line[:min(len(line), longestLine-min(longestLine, f.line.Len()))])
		if f.whole = found || f.line.Len() >= longestLine; f.whole {
			f.once.Do(func() { close(f.ready) })
		}
	}
	return len(b), nil
}

func (f *firstLine) end() { f.once.Do(func() { close(f.ready) }) }

func (f *firstLine) Read(b []byte) (int, error) {
	<-f.ready
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.line.Read(b)
}

func (f *firstLine) Close() error { return nil }

// tempFolder makes a folder that only we can enter. It keeps the path of a socket in it below the 108 bytes that the kernel has for it.
func tempFolder() (string, error) {
	dir, err := os.MkdirTemp("", "fieldsync-plugin-")
	if err == nil && len(dir) > 60 { // go-plugin adds two names of its own
		_ = os.Remove(dir)
		dir, err = os.MkdirTemp("/tmp", "fieldsync-plugin-")
	}
	return dir, err
}
