package protocol_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/plugin/protocol"
	"github.com/fieldsync/fieldsync/engine/record"
)

// instants are those that a value can hold.
var instants = rapid.Map(rapid.Int64Range(time.Date(1678, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano(), time.Date(2261, 12, 31, 0, 0, 0, 0, time.UTC).UnixNano()), func(n int64) time.Time {
	return time.Unix(0, n).UTC()
})

// values are of every kind, lists and objects with anything inside.
func values() *rapid.Generator[record.Value] {
	plain := rapid.OneOf(
		rapid.Just(record.Value{}), rapid.Just(record.NullValue), rapid.Just(record.UnknownValue),
		rapid.Map(rapid.Bool(), record.OfBool), rapid.Map(rapid.Int64(), record.OfInt), rapid.Map(rapid.Float64(), record.OfFloat), rapid.Map(rapid.String(), record.OfText),
		rapid.Map(instants, record.OfTime),
	)
	return rapid.OneOf(plain, rapid.Map(rapid.SliceOf(plain), record.OfList), rapid.Map(rapid.MapOf(rapid.String(), plain), func(m map[string]record.Value) record.Value {
		a := map[string]any{}
		for k, v := range m {
			a[k] = v
		}
		v, err := record.Of(a)
		if err != nil {
			return record.NullValue
		}
		return v
	}))
}

// wire is x as it comes out at the other end.
func wire[M proto.Message](t interface{ Fatal(...any) }, x, to M) M {
	b, err := proto.Marshal(x)
	if err == nil {
		err = proto.Unmarshal(b, to)
	}
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func TestARecordComesThroughAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := record.Record{Key: rapid.StringN(1, 20, 100).Draw(t, "key"), Label: rapid.String().Draw(t, "label"), Version: "7", Author: "somebody",
			Modified: instants.Draw(t, "modified"), Values: rapid.SliceOfN(values(), 1, 5).Draw(t, "values")}
		paths := []string{"a", "b", "c", "d", "e"}[:len(r.Values)]
		got, err := protocol.ToRecord(wire(t, protocol.OfRecord(r), &protocol.Record{}), paths)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r, got, cmp.Comparer(func(a, b record.Value) bool { return a == b })); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestFieldsComeThroughAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := record.Fields(rapid.MapOf(rapid.String(), values()).Draw(t, "fields"))
		got, err := protocol.ToFields(wire(t, &protocol.CreateRequest{Fields: protocol.OfFields(f)}, &protocol.CreateRequest{}).Fields)
		if err != nil || len(got) != len(f) {
			t.Fatal(got, err)
		}
		for p, v := range f {
			if got[p] != v {
				t.Fatalf("%s is %s, want %s", p, got[p], v)
			}
		}
	})
}

func TestAnErrorComesThroughWithItsKindAndItsWayOut(t *testing.T) {
	for _, kind := range []error{connectors.ErrNotFound, connectors.ErrStale, connectors.ErrRefused, connectors.ErrBusy, connectors.ErrOutcome, connectors.ErrDenied,
		connectors.ErrAuth, connectors.ErrConfig, connectors.ErrProtocol, connectors.ErrOffline} {
		e := &connectors.Error{Kind: kind, Op: "update r1", Detail: "it was so", Hint: "do this", Fields: []string{"title"}, RetryAfter: 3 * time.Second}
		got := protocol.ToError(wire(t, protocol.OfError(e), &protocol.Error{}), "update r1", connectors.ErrOutcome)
		if diff := cmp.Diff(*e, *got, cmp.Comparer(func(a, b error) bool { return a == b })); diff != "" {
			t.Errorf("%v: %s", kind, diff)
		}
	}
	got := protocol.ToError(protocol.OfError(errors.New("something")), "scan", connectors.ErrProtocol)
	if !errors.Is(got, connectors.ErrProtocol) || got.Detail != "something" {
		t.Errorf("an error without a kind comes as %v", got)
	}
	if protocol.ToError(protocol.OfError(nil), "scan", connectors.ErrProtocol) != nil {
		t.Error("no error comes as one")
	}
}

// What is written in the proto file is for all languages: its names stand for our kinds, in both directions.
func TestNamesMeanWhatTheySay(t *testing.T) {
	for name, kind := range map[string]error{"NOT_FOUND": connectors.ErrNotFound, "STALE": connectors.ErrStale, "REFUSED": connectors.ErrRefused, "BUSY": connectors.ErrBusy,
		"OUTCOME": connectors.ErrOutcome, "DENIED": connectors.ErrDenied, "AUTH": connectors.ErrAuth, "CONFIG": connectors.ErrConfig, "PROTOCOL": connectors.ErrProtocol, "OFFLINE": connectors.ErrOffline} {
		if got := protocol.OfError(&connectors.Error{Kind: kind}).Kind.String(); got != name {
			t.Errorf("%v is sent as %s, want %s", kind, got, name)
		}
	}
	for name, kind := range map[string]record.Kind{"ANY": record.Absent, "BOOL": record.Bool, "INT": record.Int, "FLOAT": record.Float, "TEXT": record.Text, "TIME": record.Time, "LIST": record.List, "OBJECT": record.Object} {
		x := protocol.OfSchema(&connectors.Schema{Key: "a", Fields: []connectors.Field{{Path: "a", Type: record.Type{Kind: kind}}}})
		if got := x.Fields[0].Kind.String(); got != name {
			t.Errorf("a %v is described as %s, want %s", kind, got, name)
		}
	}
	for name, readers := range map[string]connectors.Readers{"SOME": connectors.SomeReaders, "STAFF": connectors.Staff, "PUBLIC": connectors.Public} {
		x := protocol.OfSchema(&connectors.Schema{Key: "a", Threads: []connectors.Thread{{Path: "t", Readers: readers}}})
		if got := x.Threads[0].Readers.String(); got != name {
			t.Errorf("readers %d are described as %s, want %s", readers, got, name)
		}
	}
}

func TestASchemaComesThroughAsItWas(t *testing.T) {
	s := &connectors.Schema{Key: "id", Label: "number", Open: true, Rest: record.Type{Kind: record.Text}, Fields: []connectors.Field{
		{Path: "id", Label: "ID", Type: record.Type{Kind: record.Int}, Native: "bigint", ReadOnly: true},
		{Path: "number", Type: record.Type{Kind: record.Text}, MaxLength: 40, Once: true, Required: true},
		{Path: "due", Type: record.Type{Kind: record.Text, Layout: "2006-01-02 15:04:05", Loose: true}},
		{Path: "state", Type: record.Type{Kind: record.Int}, Closed: true, Choices: []connectors.Choice{{Value: record.OfInt(1), Label: "New"}}},
		{Path: "owner", Reference: "users"}, {Path: "journal", Append: true, Type: record.Type{Kind: record.List}}},
		Threads: []connectors.Thread{{Path: "notes", Label: "Notes", Readers: connectors.Staff, Editable: true}, {Path: "comments", Readers: connectors.Public}},
		Files:   []connectors.Thread{{Path: "files"}}}
	got, err := protocol.ToSchema(wire(t, protocol.OfSchema(s), &protocol.Schema{}))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, got, cmp.Comparer(func(a, b record.Value) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

// Whatever bytes a plugin sends: an error at most, and never a panic, and nothing that is not a value.
func FuzzWhateverIsSent(f *testing.F) {
	seed, err := proto.Marshal(protocol.OfRecord(record.Record{Key: "k", Values: []record.Value{record.OfText("x"), record.OfList([]record.Value{record.OfInt(1)})}}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var r protocol.Record
		if proto.Unmarshal(b, &r) == nil {
			got, err := protocol.ToRecord(&r, make([]string, len(r.Values)))
			if err == nil && (got.Key == "" || strings.Contains(got.Key, "\xff")) {
				t.Errorf("record %+v", got)
			}
		}
		var s protocol.Schema
		if proto.Unmarshal(b, &s) == nil {
			if got, err := protocol.ToSchema(&s); err == nil && got.Key == "" && !got.Hidden {
				t.Errorf("schema %+v", got)
			}
		}
		var a protocol.Attachment
		if proto.Unmarshal(b, &a) == nil {
			_, _, _ = protocol.ToAttachment(&a)
		}
		var e protocol.Edit
		if proto.Unmarshal(b, &e) == nil {
			_, _ = protocol.ToEdit(&e)
		}
	})
}
