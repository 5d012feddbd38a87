package plugin_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fieldsync/fieldsync/connectors/plugin/protocol"
)

// badStart is what programs of these names do in the place of serving.
func badStart(name string) {
	switch name {
	case "crashes":
		fmt.Fprintln(os.Stderr, "no license found")
		os.Exit(3)
	case "babbles":
		fmt.Println("Welcome to babbles 1.0!")
		time.Sleep(time.Hour)
	case "mute":
		time.Sleep(time.Hour)
	case "elsewhere":
		fmt.Println("1|1|tcp|192.0.2.7:443|grpc|" + strings.Repeat("A", 60))
		time.Sleep(time.Hour)
	case "climbs":
		fmt.Println("1|1|unix|/tmp/other/socket|grpc|" + strings.Repeat("A", 60))
		time.Sleep(time.Hour)
	case "older":
		fmt.Println("1|7|tcp|127.0.0.1:1|grpc|")
		time.Sleep(time.Hour)
	case "net/rpc", "netrpc":
		fmt.Println("1|1|tcp|127.0.0.1:1|netrpc|")
		time.Sleep(time.Hour)
	case "endless":
		for {
			fmt.Print(strings.Repeat("x", 1<<16))
		}
	case "liar":
		goplugin.Serve(&goplugin.ServeConfig{Logger: hclog.NewNullLogger(), HandshakeConfig: protocol.Handshake,
			Plugins: goplugin.PluginSet{protocol.Name: &protocol.Plugin{Serves: &liar{versions: map[string]int{}}}}, GRPCServer: func(o []grpc.ServerOption) *grpc.Server {
				return grpc.NewServer(append(o, grpc.MaxSendMsgSize(math.MaxInt32))...)
			}})
	}
}

// A liar keeps the protocol but for one thing. It ignores that its input is closed.
type liar struct {
	protocol.UnimplementedConnectorServer
	how      string
	folder   string
	versions map[string]int
	calls    int
}

func text(s string) *protocol.Value {
	return &protocol.Value{Content: &protocol.Value_Text{Text: s}}
}

// record is one of "title", "weight", and whatever else is asked for.
func (l *liar) record(key string, paths []string) *protocol.Record {
	r := &protocol.Record{Key: key, Version: strconv.Itoa(l.versions[key])}
	for _, p := range paths {
		switch p {
		case "key":
			r.Values = append(r.Values, text(key))
		case "title":
			r.Values = append(r.Values, text("title of "+key))
		case "weight":
			r.Values = append(r.Values, &protocol.Value{Content: &protocol.Value_Whole{Whole: 7}})
		default:
			r.Values = append(r.Values, &protocol.Value{})
		}
	}
	return r
}

func (l *liar) Open(_ context.Context, q *protocol.OpenRequest) (*protocol.OpenReply, error) {
	var s struct{ How, Folder string }
	if err := json.Unmarshal([]byte(q.Settings), &s); err != nil {
		return nil, err
	}
	l.how, l.folder = s.How, s.Folder
	if l.how == "hang in open" {
		time.Sleep(time.Hour)
	}
	return &protocol.OpenReply{Name: "liar \x1b[31m1.0"}, nil
}

func (l *liar) Collection(context.Context, *protocol.CollectionRequest) (*protocol.CollectionReply, error) {
	a := &protocol.Abilities{Find: true, Create: true, Update: true, Delete: true, Comments: true, AddComment: true, Attachments: true, Attach: true, Count: true, Deleted: true, Notify: true, Within: true}
	switch l.how {
	case "create without find":
		a.Find = false
	case "settles in a year":
		a.SettlesMs = 1 << 40
	case "no method":
		a.Locate, a.Require = true, true
	}
	return &protocol.CollectionReply{Abilities: a}, nil
}

func (l *liar) Describe(context.Context, *protocol.DescribeRequest) (*protocol.DescribeReply, error) {
	s := &protocol.Schema{Key: "key", Fields: []*protocol.Field{{Path: "key", Kind: protocol.Kind_TEXT}, {Path: "title", Kind: protocol.Kind_TEXT}, {Path: "weight", Kind: protocol.Kind_INT}}}
	switch l.how {
	case "field twice":
		s.Fields = append(s.Fields, s.Fields[1])
	case "field of no kind":
		s.Fields[1].Kind = 99
	case "no key in schema":
		s.Key = "id"
	}
	return &protocol.DescribeReply{Schema: s}, nil
}

func (l *liar) Check(context.Context, *protocol.CheckRequest) (*protocol.CheckReply, error) {
	f := &protocol.Finding{Ok: true, What: "self", Detail: strconv.Itoa(os.Getpid())}
	switch l.how {
	case "show environment":
		f.Detail = strings.Join(os.Environ(), "\n") + "\n" + strings.Join(os.Args, "\n")
		if os.WriteFile(l.folder+"/seen", []byte(f.Detail), 0o600) != nil {
			return nil, status.Error(codes.Internal, "cannot write")
		}
	case "flood":
		out := os.NewFile(2, "standard error") // os.Stderr is go-plugin's by now
		for range 5000 {
			fmt.Fprintln(out, strings.Repeat("blah ", 1000))
		}
	case "have a child":
		cmd := exec.Command("sleep", "1000")
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		f.Detail = strconv.Itoa(cmd.Process.Pid)
	}
	return &protocol.CheckReply{Findings: []*protocol.Finding{f}}, nil
}

func (l *liar) Scan(q *protocol.ScanRequest, out protocol.Connector_ScanServer) error {
	l.calls++
	page := func(from, to int) error {
		m := &protocol.ScanReply{}
		for i := from; i < to; i++ {
			m.Records = append(m.Records, l.record(fmt.Sprintf("k%d", i), q.Paths))
		}
		return out.Send(m)
	}
	end := &protocol.Window{Next: fmt.Sprintf("c%d", l.calls)}
	switch l.how {
	case "scan goes round":
		for {
			if err := page(0, 30); err != nil {
				return err
			}
		}
	case "scan of ever new records":
		for i := 0; ; i += 100 {
			if err := page(i, i+100); err != nil {
				return err
			}
		}
	case "scan without end":
		return page(0, 30)
	case "something behind the end":
		_ = out.Send(&protocol.ScanReply{End: end})
		return page(0, 3)
	case "too few values", "no key", "key of 10 KiB", "wrong kind", "field that is not described", "NaN", "no time", "no list", "record from the future":
		r := l.record("k1", q.Paths)
		v := r.Values[len(r.Values)-1]
		switch l.how {
		case "too few values":
			r.Values = r.Values[1:]
		case "no key":
			r.Key = ""
		case "key of 10 KiB":
			r.Key = strings.Repeat("k", 10<<10)
		case "wrong kind":
			v.Content = &protocol.Value_Text{Text: "seven"}
		case "field that is not described":
			v.Content = &protocol.Value_Text{Text: "made up"}
		case "NaN":
			v.Content = &protocol.Value_Decimal{Decimal: math.NaN()}
		case "no time":
			v.Content = &protocol.Value_Time{Time: "yesterday"}
		case "no list":
			v.Content = &protocol.Value_List{List: `{"a":1}`}
		case "record from the future":
			r.Modified = "12026-01-01T00:00:00Z"
		}
		_ = out.Send(&protocol.ScanReply{Records: []*protocol.Record{r}})
	case "huge message":
		r := l.record("k1", q.Paths)
		r.Values[0] = text(strings.Repeat("x", 17<<20))
		_ = out.Send(&protocol.ScanReply{Records: []*protocol.Record{r}})
	case "cursor goes back":
		end.Next = []string{"a", "b", "a"}[(l.calls-1)%3]
	case "cursor vanishes":
		if q.Since != "" {
			end.Next = ""
		}
	case "clock off by a century":
		end.ClockMeasured, end.ClockOffsetMs = true, 100*365*24*3600*1000
	case "status":
		return status.Error(codes.Internal, "null pointer")
	case "status that is none of ours":
		return status.Error(codes.FailedPrecondition, "no")
	case "crash in scan":
		_ = page(0, 30)
		go panic("out of luck")
		time.Sleep(time.Hour)
	case "crash at first":
		if _, err := os.Stat(l.folder + "/crashed"); err != nil {
			_ = os.WriteFile(l.folder+"/crashed", nil, 0o600)
			os.Exit(7)
		}
	case "hang in scan":
		_ = page(0, 30)
		time.Sleep(time.Hour)
	}
	if err := page(0, 3); err != nil {
		return err
	}
	return out.Send(&protocol.ScanReply{End: end})
}

func (l *liar) Read(q *protocol.ReadRequest, out protocol.Connector_ReadServer) error {
	m := &protocol.RecordsReply{}
	for _, key := range q.Keys {
		if l.how == "hang in read" {
			time.Sleep(time.Hour)
		}
		if strings.HasPrefix(key, "k") && !(l.how == "create that did not happen" && key == "k99") {
			m.Records = append(m.Records, l.record(key, q.Paths))
		}
	}
	switch l.how {
	case "another key":
		m.Records = append(m.Records, l.record("k77", q.Paths))
	case "twice":
		m.Records = append(m.Records, m.Records...)
	}
	return out.Send(m)
}

func (l *liar) Find(q *protocol.FindRequest, out protocol.Connector_FindServer) error {
	r := l.record("k1", q.Paths)
	if l.how == "find twice" {
		r.Values[0] = q.Values[0]
		return out.Send(&protocol.RecordsReply{Records: []*protocol.Record{r, r}})
	}
	return out.Send(&protocol.RecordsReply{Records: []*protocol.Record{r}})
}

func (l *liar) Create(_ context.Context, q *protocol.CreateRequest) (*protocol.RecordReply, error) {
	switch l.how {
	case "crash in create":
		os.Exit(9)
	case "hang in create":
		time.Sleep(time.Hour)
	case "create returns nothing":
		return &protocol.RecordReply{}, nil
	case "error of no kind":
		return &protocol.RecordReply{Error: &protocol.Error{Detail: "something"}}, nil
	case "error with a secret":
		return &protocol.RecordReply{Error: &protocol.Error{Kind: protocol.Error_BUSY, Detail: "token secret-of-TOKEN\x1b[2J was refused", Hint: "see secret-of-TOKEN", RetryAfterMs: 1 << 60}}, nil
	}
	return &protocol.RecordReply{Record: l.record("k99", q.Paths)}, nil
}

func (l *liar) Update(_ context.Context, q *protocol.UpdateRequest) (*protocol.RecordReply, error) {
	r := l.record(q.Key, q.Paths)
	switch l.how {
	case "update that did not happen":
		r.Version = "5"
	case "update that says other values":
		r.Values[0] = text("new")
	case "update of another record":
		r = l.record("k5", q.Paths)
	}
	return &protocol.RecordReply{Record: r}, nil
}

func (l *liar) Delete(context.Context, *protocol.DeleteRequest) (*protocol.DeleteReply, error) {
	return &protocol.DeleteReply{}, nil
}

func (l *liar) Count(context.Context, *protocol.CountRequest) (*protocol.CountReply, error) {
	return &protocol.CountReply{Count: -1}, nil
}

func (l *liar) Deleted(_ *protocol.DeletedRequest, out protocol.Connector_DeletedServer) error {
	for {
		if err := out.Send(&protocol.DeletedReply{Keys: []string{"a", "b"}}); err != nil {
			return err
		}
	}
}

func (l *liar) Within(_ *protocol.WithinRequest, out protocol.Connector_WithinServer) error {
	return out.Send(&protocol.WithinReply{Keys: []string{"k1", "k2"}})
}

func (l *liar) Comments(_ *protocol.CommentsRequest, out protocol.Connector_CommentsServer) error {
	return out.Send(&protocol.CommentsReply{Comments: []*protocol.Comment{{Key: "k1", Id: "c1", Text: "hello"}}})
}

func (l *liar) AddComment(context.Context, *protocol.AddCommentRequest) (*protocol.CommentReply, error) {
	return &protocol.CommentReply{Comment: &protocol.Comment{Key: "k1", Id: "c2", Text: "added"}}, nil
}

func (l *liar) Attachments(_ *protocol.AttachmentsRequest, out protocol.Connector_AttachmentsServer) error {
	return out.Send(&protocol.AttachmentsReply{Attachments: []*protocol.Attachment{{Key: "k1", Id: "f1", Size: 3}}})
}

func (l *liar) OpenAttachment(_ *protocol.OpenAttachmentRequest, out protocol.Connector_OpenAttachmentServer) error {
	return out.Send(&protocol.Piece{Content: []byte("half of")})
}

func (l *liar) Attach(in protocol.Connector_AttachServer) error {
	for {
		if _, err := in.Recv(); err != nil {
			return in.SendAndClose(&protocol.AttachReply{Attachment: &protocol.Attachment{Key: "k1", Id: "f2", Size: 3}})
		}
	}
}

func (l *liar) Notify(_ *protocol.NotifyRequest, out protocol.Connector_NotifyServer) error {
	_ = out.Send(&protocol.NotifyReply{})
	_ = out.Send(&protocol.NotifyReply{Alive: true})
	_ = out.Send(&protocol.NotifyReply{Key: "k1"})
	return out.Send(&protocol.NotifyReply{Error: &protocol.Error{Kind: protocol.Error_OFFLINE, Detail: "line cut"}})
}
