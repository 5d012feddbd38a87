package plugin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/guard"
	"github.com/fieldsync/fieldsync/connectors/plugin/protocol"
)

const (
	endTimeout = 2 * time.Second // to end by itself
	youth      = time.Minute     // who dies younger is started again later each time
	longestOff = time.Minute     // at most so much later
)

// A host keeps one plugin running for as long as its connection is used.
type host struct {
	config     *Config
	env        connectors.Env
	timeout    time.Duration
	maxRecords int
	turns      *guard.Turns

	lock chan struct{} // held while the plugin is started or closed; a channel, so that waiting can be given up

	mu     sync.Mutex // guards what is below
	live   *session
	label  string // what the plugin calls itself
	deaths int    // one after the other, each of them young
	again  time.Time
	died   string
	closed bool
}

// A session is one life of the process.
type session struct {
	*process
	connector protocol.ConnectorClient
	says      *sayings
	began     time.Time
	close     func()
}

// session returns the running plugin, or starts it.
func (h *host) session(ctx context.Context) (*session, error) {
	select {
	case h.lock <- struct{}{}:
		defer func() { <-h.lock }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	h.mu.Lock()
	s := h.live
	h.mu.Unlock()
	if s != nil {
		select {
		case <-s.done:
			h.bury(s)
		default:
			return s, nil
		}
	}
	h.mu.Lock()
	wait, died, closed := h.again.Sub(h.env.Now()), h.died, h.closed
	h.mu.Unlock()
	switch {
	case closed:
		return nil, h.fails(connectors.ErrOffline, "start", "the connection is closed", "")
	case wait > 0:
		return nil, h.fails(connectors.ErrOffline, "start", fmt.Sprintf("it ended again and again, the last time: %s; it is started again in %s", died, wait.Round(time.Millisecond)),
			"see what it says in the log (--log-level info), and ask who wrote it")
	}
	return h.start(ctx)
}

// bury notes that a session is over, and lets go of what it had.
func (h *host) bury(s *session) {
	<-s.done
	h.mu.Lock()
	if h.live == s {
		h.live = nil
		h.note(h.env.Now().Sub(s.began), s.how())
	}
	h.mu.Unlock()
	s.close()
}

// note counts an end. Until it is started again passes nothing after the first, then a second, then twice as long each
// time. It needs mu.
func (h *host) note(age time.Duration, how string) {
	if age > youth {
		h.deaths = 0
	}
	h.deaths++
	off := time.Duration(0)
	if h.deaths > 1 {
		off = min(time.Second<<min(h.deaths-2, 10), longestOff)
	}
	h.died, h.again = how, h.env.Now().Add(off)
	h.env.Log.Info("plugin ended", "program", h.config.Program, "how", how, "again_in", off)
}

// how it ended, and what it said last.
func (s *session) how() string {
	how := s.fate()
	if last := s.says.last(); last != "" {
		how += "; it said: " + last
	}
	return how
}

// start starts the program, after one more look at its sum, and opens the connection.
func (h *host) start(ctx context.Context) (*session, error) {
	file, err := h.config.find(h.env.Dir)
	if err != nil {
		return nil, err
	}
	temp, err := tempFolder()
	if err != nil {
		return nil, h.fails(connectors.ErrOffline, "start", err.Error(), "")
	}
	s := &session{says: &sayings{log: h.env.Log, now: h.env.Now, clean: h.clean}, began: h.env.Now()}
	if s.process, err = newProcess(file, temp, s.says); err != nil {
		_ = os.RemoveAll(temp)
		return nil, h.fails(connectors.ErrOffline, "start", err.Error(), "")
	}
	client := h.client(s, temp)
	s.close = sync.OnceFunc(func() {
		_ = s.stdin.Close() // a plugin ends by itself now, and one that does not know this is asked by go-plugin
		asked := make(chan struct{})
		go func() {
			defer close(asked)
			client.Kill()
		}()
		if s.begun() {
			select {
			case <-s.done:
			case <-time.After(endTimeout):
				s.end("it did not end when it was asked to")
			}
		}
		<-asked
		_ = os.RemoveAll(temp)
	})
	// Whatever the plugin does, nothing below waits longer: when its process is gone, so is every call to it.
	patience := min(startTimeout, h.timeout)
	overdue := time.AfterFunc(patience, func() { s.end(fmt.Sprintf("it did not start within %s", patience)) })
	defer overdue.Stop()
	defer context.AfterFunc(ctx, func() { s.end("nobody waits for it any more") })()
	label, err := h.open(ctx, client, s)
	if err == nil {
		h.mu.Lock()
		h.live, h.label = s, label
		h.mu.Unlock()
		return s, nil
	}
	defer s.close()
	if e, ok := errors.AsType[*connectors.Error](err); ok {
		return nil, e // it is well, and does not like its settings
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	detail := h.clean(err.Error())
	if s.begun() {
		select {
		case <-s.done:
		case <-time.After(endTimeout / 10):
			_ = s.Kill(ctx)
			<-s.done
		}
		if how := s.how(); s.fate() != "" { // that its line was missed says less than how it ended
			detail = how
		} else {
			detail += how
		}
	}
	h.mu.Lock()
	h.note(0, detail)
	h.mu.Unlock()
	return nil, h.fails(connectors.ErrOffline, "start", "it did not start: "+detail, "connectors/plugin/README.md says what a plugin does first; see what this one says in the log (--log-level info)")
}

func (h *host) client(s *session, temp string) *goplugin.Client {
	return goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig:  protocol.Handshake,
		Plugins:          goplugin.PluginSet{protocol.Name: &protocol.Plugin{}},
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		AutoMTLS:         true,
		SkipHostEnv:      true,
		StartTimeout:     startTimeout,
		Logger:           hclog.NewNullLogger(),
		SyncStdout:       s.says, // what a plugin in Go prints once it serves
		SyncStderr:       s.says,
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: temp},
		GRPCDialOptions: []grpc.DialOption{grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(protocol.MaxMessage), grpc.MaxCallSendMsgSize(protocol.MaxMessage))},
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, folder string) (runner.Runner, error) {
			s.folder = folder
			s.cmd.Env = append(s.cmd.Env, cmd.Env...)
			return s.process, nil
		},
	})
}

// open starts the process and gives it its settings. An error of the contract is the plugin's own word about them.
func (h *host) open(ctx context.Context, client *goplugin.Client, s *session) (label string, err error) {
	rpc, err := client.Client()
	if err != nil {
		return "", err
	}
	raw, err := rpc.Dispense(protocol.Name)
	if err != nil {
		return "", err
	}
	s.connector = raw.(protocol.ConnectorClient)
	dir, err := filepath.Abs(h.env.Dir)
	if err != nil {
		return "", err
	}
	settings := h.config.json
	if settings == "" {
		settings = "{}"
	}
	here := h.env.Limits.Here() // as they are now: a plugin that runs is not told again
	reply, err := s.connector.Open(ctx, &protocol.OpenRequest{Connection: h.env.Name, Settings: settings, Folder: dir,
		Rate: here.Rate, Concurrency: int32(here.Concurrency)})
	if err != nil {
		return "", err
	}
	if reply.Error != nil {
		return "", h.word(reply.Error, "open "+h.env.Name, connectors.ErrConfig)
	}
	return h.clean(reply.Name), nil
}

// Close ends the plugin.
func (h *host) Close() error {
	h.lock <- struct{}{}
	defer func() { <-h.lock }()
	h.mu.Lock()
	s := h.live
	h.live, h.closed = nil, true
	h.mu.Unlock()
	if s != nil {
		s.close()
	}
	return nil
}

// said is what the plugin calls itself.
func (h *host) said() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.label
}
