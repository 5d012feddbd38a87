package file_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/file"
	"github.com/fieldsync/fieldsync/engine/record"
)

func text(s string) record.Fields { return record.Fields{"title": record.OfText(s)} }

// scan returns the value of path by key.
func scan(t testing.TB, c connectors.Collection, path string) map[string]string {
	t.Helper()
	got := map[string]string{}
	_, err := c.Scan(t.Context(), connectors.Query{Paths: []string{path}}, func(r record.Record) error {
		got[strings.Clone(r.Key)] = r.Values[0].String()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestAWriteKeepsEveryOtherByte(t *testing.T) {
	type step struct {
		key    string
		fields record.Fields // nil: delete
	}
	for _, c := range []struct {
		name, file, before, after string
		step                      step
	}{
		{"a member of an NDJSON record", "x.ndjson",
			"{\"id\":\"a\",  \"n\":1.50, \"title\" : \"old\" , \"x\":[1, 2]}\n\n{\"id\":\"b\",\"title\":\"b\\u00e9\"}\n",
			"{\"id\":\"a\",  \"n\":1.50, \"title\" : \"new\" , \"x\":[1, 2]}\n\n{\"id\":\"b\",\"title\":\"b\\u00e9\"}\n",
			step{"a", text("new")}},
		{"a member that is not there", "x.ndjson", `{"id":"a","n":1}` + "\n", `{"id":"a","n":1,"title":"new"}` + "\n", step{"a", text("new")}},
		{"a nested member that is not there", "x.ndjson", `{"id":"a"}` + "\n", `{"id":"a","u":{"v":{"w":7}}}` + "\n", step{"a", record.Fields{"u.v.w": record.OfInt(7)}}},
		{"a nested member beside others", "x.ndjson", `{"id":"a","u":{"k":"}\"{","v":1},"z":0}` + "\n", `{"id":"a","u":{"k":"}\"{","v":null},"z":0}` + "\n", step{"a", record.Fields{"u.v": record.NullValue}}},
		{"a key that is a number", "x.ndjson", `{"id":12,"title":"o"}` + "\n" + `{"id":1,"title":"o"}` + "\n", `{"id":12,"title":"o"}` + "\n" + `{"id":1,"title":"new"}` + "\n", step{"1", text("new")}},
		{"a line end that is missing", "x.ndjson", `{"id":"a","title":"o"}`, `{"id":"a","title":"new"}` + "\n", step{"a", text("new")}},
		{"line ends of Windows", "x.ndjson", "{\"id\":\"a\",\"title\":\"o\"}\r\n{\"id\":\"b\"}\r\n", "{\"id\":\"a\",\"title\":\"new\"}\r\n{\"id\":\"b\"}\r\n", step{"a", text("new")}},
		{"an indented array", "x.json",
			"[\n  {\n    \"id\": \"a\",\n    \"title\": \"o\"\n  },\n  {\n    \"id\": \"b\"\n  }\n]\n",
			"[\n  {\n    \"id\": \"a\",\n    \"title\": \"o\"\n  },\n  {\n    \"id\": \"b\",\n    \"title\": \"new\"\n  }\n]\n",
			step{"b", text("new")}},
		{"the first of an array goes", "x.json", "[{\"id\":\"a\"},\n {\"id\":\"b\"}]", "[\n {\"id\":\"b\"}]", step{"a", nil}},
		{"the last of an array goes", "x.json", "[ {\"id\":\"a\"} ]\n", "[ ]\n", step{"a", nil}},
		{"a byte order mark", "x.json", "\ufeff[{\"id\":\"a\",\"title\":1}]", "\ufeff[{\"id\":\"a\",\"title\":\"new\"}]", step{"a", text("new")}},
		{"a CSV field", "x.csv", "id,title,\"n, o\"\r\n\"a\",old,\"1,2\"\r\nb,\"x\r\ny\",\"\"\"q\"\"\"\r\n", "id,title,\"n, o\"\r\n\"a\",\"n\"\"e,w\",\"1,2\"\r\nb,\"x\r\ny\",\"\"\"q\"\"\"\r\n", step{"a", text(`n"e,w`)}},
		{"a quoted CSV field is cleared", "x.csv", "\ufeffid,title\na,\"o\"\n\nb,\n", "\ufeffid,title\na,\n\nb,\n", step{"a", record.Fields{"title": record.NullValue}}},
		{"a CSV record goes", "x.csv", "id,title\na,1\nb,2", "id,title\nb,2\n", step{"a", nil}},
		{"what is there already", "x.csv", "id,title\na,\"new\"", "id,title\na,\"new\"", step{"a", text("new")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			col, path := open(t, c.file, c.before, file.File{})
			var err error
			if c.step.fields == nil {
				err = col.(connectors.Deleter).Delete(t.Context(), c.step.key, "")
			} else {
				_, err = col.(connectors.Updater).Update(t.Context(), []string{"id"}, c.step.key, "", c.step.fields)
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.after, contentOf(t, path)); diff != "" {
				t.Errorf("the file differs (-want +got):\n%s", diff)
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
				t.Errorf("the file's mode is %v (%v), want 0640", info.Mode(), err)
			}
			if names, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(names) > 0 {
				t.Errorf("left behind: %v", names)
			}
		})
	}
}

func TestANewRecordGetsTheNextKey(t *testing.T) {
	for _, c := range []struct{ name, file, before, after string }{
		{"numbers", "x.ndjson", "{\"id\":9}\n{\"id\":3}\n", "{\"id\":9}\n{\"id\":3}\n{\"id\":10,\"title\":\"new\"}\n"},
		{"numbers as text", "x.ndjson", "{\"id\":\"9\"}\n", "{\"id\":\"9\"}\n{\"id\":\"10\",\"title\":\"new\"}\n"},
		{"a prefix and zeros", "x.csv", "id,title\nX-7,\nT-0041,\nT-0040,\n", "id,title\nX-7,\nT-0041,\nT-0040,\nT-0042,new\n"},
		{"the first of an empty table", "x.csv", "id,title\r\n", "id,title\r\n1,new\r\n"},
		{"the first of an empty array", "x.json", "[]\n", "[\n{\"id\":\"1\",\"title\":\"new\"}]\n"},
		{"an array", "x.json", "[\n  {\"id\":1}\n]", "[\n  {\"id\":1},\n  {\"id\":2,\"title\":\"new\"}\n]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			col, path := open(t, c.file, c.before, file.File{})
			if _, err := col.(connectors.Creator).Create(t.Context(), []string{"title"}, text("new")); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.after, contentOf(t, path)); diff != "" {
				t.Errorf("the file differs (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("keys that are no numbers get a random one", func(t *testing.T) {
		col, _ := open(t, "x.csv", "id,title\nalpha,\nbeta,\n", file.File{})
		r, err := col.(connectors.Creator).Create(t.Context(), []string{"title"}, text("new"))
		if err != nil || len(r.Key) < 20 {
			t.Errorf("the key is %q (%v), want a long one", r.Key, err)
		}
	})
	t.Run("a key that was given and is taken", func(t *testing.T) {
		col, _ := open(t, "x.csv", "id,title\n1,\n", file.File{})
		_, err := col.(connectors.Creator).Create(t.Context(), []string{"title"}, record.Fields{"id": record.OfText("1")})
		if !errors.Is(err, connectors.ErrRefused) {
			t.Errorf("the error is %v, want ErrRefused", err)
		}
	})
}

func TestContentThatIsWrongNamesItsLine(t *testing.T) {
	for _, c := range []struct{ name, file, content, want string }{
		{"not JSON", "x.ndjson", "{\"id\":1}\n{\"id\":\n", "line 2: not JSON"},
		{"a number that is none", "x.ndjson", "{\"id\":1}\n\n{\"id\":2,\"title\":nan}\n", "line 3: title"},
		{"no object", "x.ndjson", "{\"id\":1}\n[]\n", "line 2: not a JSON object"},
		{"no key", "x.ndjson", "{\"id\":1}\n{\"title\":\"x\"}\n", "line 2: the record has no key"},
		{"the same key twice", "x.ndjson", "{\"id\":1}\n{\"id\":\"2\"}\n{\"id\":3}\n{\"id\":2}\n", `lines 2 and 4 have the same key "2"`},
		{"no array", "x.json", "{\"id\":1}\n", "line 1: the file is not a JSON array"},
		{"an array that does not end", "x.json", "[\n{\"id\":1}\n", "the file ends inside the array"},
		{"a record that does not end", "x.json", "[\n{\"id\":1}\n,\n{\"id\":", "line 4: the file ends inside a record"},
		{"a comma too many", "x.json", "[{\"id\":1},]", "a comma stands before"},
		{"a comma too few", "x.json", "[{\"id\":1}\n{\"id\":2}]", "a comma is missing"},
		{"something after the array", "x.json", "[]\n[]", "something follows"},
		{"an element that is no object", "x.json", "[{\"id\":1},\n7]", "line 2: an element"},
		{"an empty file", "x.csv", "", "no header"},
		{"a row that is too short", "x.csv", "id,title\n1,a\n2\n", "line 3: 1 values for 2 columns"},
		{"a column twice", "x.csv", "id,title,title\n", `both called "title"`},
		{"a quote that is not closed", "x.csv", "id,title\n1,\"a\n", "line 2: a quote is opened"},
		{"text after a quote", "x.csv", "id,title\n1,\"a\"b\n", "line 2: text follows"},
		{"a row without a key", "x.csv", "id,title\n,a\n", "line 2: the record has no key"},
		{"a key twice", "x.csv", "id,title\n1,a\n\n1,b\n", "lines 2 and 4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), c.file)
			if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			conn, err := (&file.Config{Path: c.file}).Open(env(filepath.Dir(path)))
			if err != nil {
				t.Fatal(err)
			}
			col, err := conn.Collection(t.Context(), "x")
			if err == nil {
				_, err = col.Scan(t.Context(), connectors.Query{Paths: []string{"title"}}, func(record.Record) error { return nil })
			}
			if !errors.Is(err, connectors.ErrProtocol) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, want ErrProtocol with %q", err, c.want)
			}
			if connectors.Hint(err) == "" {
				t.Error("the error has no hint")
			}
		})
	}
}

func TestSettingsThatAreWrong(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"tickets.csv": "id,title\n", "notes.txt": "id,title\n", "users.ndjson": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, collection string
		config           file.Config
		detail, hint     string
	}{
		{"no path", "x", file.Config{}, "neither path", "path ="},
		{"a format that does not exist", "x", file.Config{Path: "x", Format: "xml"}, `no format "xml"`, "csv"},
		{"a separator of two characters", "x", file.Config{Path: "x", Separator: "::"}, "separator", ","},
		{"a file that is missing", "x", file.Config{Path: "nope.csv"}, "there is no file", "not created"},
		{"a declared file that is missing", "x", file.Config{Files: []file.File{{Name: "x", Path: "nope.csv"}}}, "nope.csv", "not created"},
		{"another collection than the file", "ticket", file.Config{Path: "tickets.csv"}, "no such collection", `did you mean "tickets"?`},
		{"another collection than the folder has", "user", file.Config{Path: "."}, "no such collection", `did you mean "users"?`},
		{"a file without a known extension", "notes", file.Config{Path: "notes.txt"}, "format", "format ="},
		{"a key column that is missing", "t", file.Config{Files: []file.File{{Name: "t", Path: "tickets.csv", Key: "titel"}}}, `no column "titel"`, `did you mean "title"?`},
		{"a collection declared twice", "t", file.Config{Files: []file.File{{Name: "t", Path: "a"}, {Name: "t", Path: "b"}}}, "twice", "own"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := c.config.Open(env(dir))
			if err == nil {
				_, err = conn.Collection(t.Context(), c.collection)
			}
			if !errors.Is(err, connectors.ErrConfig) || !strings.Contains(err.Error(), c.detail) || !strings.Contains(connectors.Hint(err), c.hint) {
				t.Errorf("the error is %v (hint %q), want ErrConfig with %q (hint %q)", err, connectors.Hint(err), c.detail, c.hint)
			}
		})
	}
	t.Run("check lists what it found and what not", func(t *testing.T) {
		conn, err := (&file.Config{Files: []file.File{{Name: "t", Path: "tickets.csv"}, {Name: "u", Path: "nope.csv"}}}).Open(env(dir))
		if err != nil {
			t.Fatal(err)
		}
		found, err := conn.(connectors.Checker).Check(t.Context())
		if err != nil || len(found) != 2 || !found[0].OK || found[1].OK || found[1].Hint == "" {
			t.Errorf("check says %+v, %v", found, err)
		}
	})
}

func TestMembersThatSomeRecordsLackAreNull(t *testing.T) {
	col, _ := open(t, "x.ndjson", `{"id":1,"title":"a"}`+"\n"+`{"id":2}`+"\n", file.File{})
	want := map[string]string{"1": `"a"`, "2": "null"}
	if diff := cmp.Diff(want, scan(t, col, "title")); diff != "" {
		t.Errorf("title differs (-want +got):\n%s", diff)
	}
	want = map[string]string{"1": "absent", "2": "absent"}
	if diff := cmp.Diff(want, scan(t, col, "titel")); diff != "" {
		t.Errorf("a path that no record has differs (-want +got):\n%s", diff)
	}
}

func TestValuesOfJSON(t *testing.T) {
	for _, c := range []struct{ json, want string }{
		{`7`, "7"}, {`7.0`, "7"}, {`-0.5`, "-0.5"}, {`1e3`, "1000"}, {`12345678901234567890`, `"12345678901234567890"`},
		{`"a\u00e9\n\"\ud83d\ude92"`, `"aé\n\"🚒"`}, {`[2, 1.0, {"b":1,"a":null}]`, `[2,1,{"a":null,"b":1}]`}, {`{"b":[],"a":"x"}`, `{"a":"x","b":[]}`},
		{`true`, "true"}, {`""`, `""`}, {`null`, "null"}, {"\"\xff\"", "unknown"},
	} {
		col, _ := open(t, "x.ndjson", `{"id":1,"v":`+c.json+"}\n", file.File{})
		if got := scan(t, col, "v")["1"]; got != c.want {
			t.Errorf("%s reads as %s, want %s", c.json, got, c.want)
		}
	}
}

func TestReadDoesNotPassOverEscapedKeys(t *testing.T) {
	col, _ := open(t, "x.ndjson", `{"id":"\u0061b\/c"}`+"\n"+`{"id":"zz"}`+"\n", file.File{})
	n := 0
	if err := col.Read(t.Context(), []string{"id"}, []string{"ab/c"}, func(record.Record) error { n++; return nil }); err != nil || n != 1 {
		t.Errorf("delivered %d records and %v, want one", n, err)
	}
}

func TestWritesThatArriveTogetherShareRewrites(t *testing.T) {
	const n = 400
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"id\":%d,\"title\":\"old\"}\n", i)
	}
	col, path := open(t, "x.ndjson", b.String(), file.File{})
	rewrites := map[uint64]bool{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			r, err := col.(connectors.Updater).Update(t.Context(), []string{"title"}, strconv.Itoa(i), "", text("new "+strconv.Itoa(i)))
			if err != nil || r.Values[0].Text() != "new "+strconv.Itoa(i) {
				t.Errorf("update %d returned %v, %v", i, r.Values, err)
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			rewrites[uint64(info.ModTime().UnixNano())] = true
			mu.Unlock()
		})
	}
	wg.Wait()
	if len(rewrites) > n/4 {
		t.Errorf("%d writes made %d files", n, len(rewrites))
	}
	for key, got := range scan(t, col, "title") {
		if got != strconv.Quote("new "+key) {
			t.Errorf("record %s has %s", key, got)
		}
	}
}

func TestAFailingWriteDoesNotHarmTheOthersOfItsRewrite(t *testing.T) {
	col, path := open(t, "x.ndjson", "{\"id\":1,\"u\":5,\"title\":\"a\"}\n{\"id\":2,\"title\":\"b\"}\n", file.File{})
	u := col.(connectors.Updater)
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i, do := range []func() error{
		func() error {
			_, err := u.Update(t.Context(), nil, "1", "", record.Fields{"u.v": record.OfInt(1)})
			return err
		},
		func() error { _, err := u.Update(t.Context(), nil, "2", "", text("new")); return err },
		func() error { _, err := u.Update(t.Context(), nil, "9", "", text("new")); return err },
		func() error { _, err := u.Update(t.Context(), nil, "1", "beef", text("new")); return err },
	} {
		wg.Go(func() { errs[i] = do() })
	}
	wg.Wait()
	for i, want := range []error{connectors.ErrRefused, nil, connectors.ErrNotFound, connectors.ErrStale} {
		if !errors.Is(errs[i], want) {
			t.Errorf("write %d gives %v, want %v", i, errs[i], want)
		}
	}
	if got, want := contentOf(t, path), "{\"id\":1,\"u\":5,\"title\":\"a\"}\n{\"id\":2,\"title\":\"new\"}\n"; got != want {
		t.Errorf("the file is %q, want %q", got, want)
	}
}

func TestAnEditOfAnotherProgramIsNotLost(t *testing.T) {
	for name, other := range map[string]func(path string) error{
		"that replaces the file": func(path string) error {
			return errors.Join(os.WriteFile(path+".new", []byte("id,title\n1,a\n2,theirs\n"), 0o600), os.Rename(path+".new", path))
		},
		"that writes into the file": func(path string) error {
			return os.WriteFile(path, []byte("id,title\n1,a\n2,theirs\n"), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			col, path := open(t, "x.csv", "id,title\n1,a\n", file.File{})
			tries := 0
			file.BeforeRename(col, func() {
				if tries++; tries == 1 {
					if err := other(path); err != nil {
						t.Error(err)
					}
				}
			})
			if _, err := col.(connectors.Updater).Update(t.Context(), nil, "1", "", text("ours")); err != nil {
				t.Fatal(err)
			}
			if got, want := contentOf(t, path), "id,title\n1,ours\n2,theirs\n"; got != want || tries != 2 {
				t.Errorf("after %d tries the file is %q, want %q after 2", tries, got, want)
			}
		})
	}
	t.Run("that never stops", func(t *testing.T) {
		col, path := open(t, "x.csv", "id,title\n1,a\n", file.File{})
		content := "id,title\n1,a\n"
		file.BeforeRename(col, func() {
			content += "2,theirs\n"
			replace(t, path, content)
		})
		if _, err := col.(connectors.Updater).Update(t.Context(), nil, "1", "", text("ours")); !errors.Is(err, connectors.ErrBusy) {
			t.Errorf("the error is %v, want ErrBusy", err)
		}
		if got := contentOf(t, path); got != content {
			t.Errorf("the file is %q, want %q", got, content)
		}
	})
}

func TestAHeaderThatChangedMeanwhileIsFollowed(t *testing.T) {
	col, path := open(t, "x.csv", "id,title\n1,a\n", file.File{})
	replace(t, path, "title,new,id\na,n,1\n")
	r, err := col.(connectors.Updater).Update(t.Context(), []string{"title", "id"}, "1", "", text("b"))
	if err != nil || r.Key != "1" || r.Values[0].Text() != "b" || r.Values[1].Text() != "1" {
		t.Errorf("the update returned %v, %v", r, err)
	}
	if got, want := contentOf(t, path), "title,new,id\nb,n,1\n"; got != want {
		t.Errorf("the file is %q, want %q", got, want)
	}
	if _, err := col.(connectors.Updater).Update(t.Context(), []string{"titel"}, "1", "", text("c")); !errors.Is(err, connectors.ErrConfig) {
		t.Errorf("an update that asks for a column that is not there gives %v, want ErrConfig", err)
	}
	if got, want := contentOf(t, path), "title,new,id\nb,n,1\n"; got != want {
		t.Errorf("the file is %q, want %q", got, want)
	}
}

func TestALinkStaysALink(t *testing.T) {
	dir := t.TempDir()
	real := filepath.Join(dir, "real.csv")
	if err := os.WriteFile(real, []byte("id,title\n1,a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real.csv", filepath.Join(dir, "x.csv")); err != nil {
		t.Fatal(err)
	}
	conn, err := (&file.Config{Path: "x.csv"}).Open(env(dir))
	if err != nil {
		t.Fatal(err)
	}
	col, err := conn.Collection(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := col.(connectors.Updater).Update(t.Context(), nil, "1", "", text("b")); err != nil {
		t.Fatal(err)
	}
	if got := contentOf(t, real); got != "id,title\n1,b\n" {
		t.Errorf("the file behind the link is %q", got)
	}
}

func TestACancelledWriteThatWaitsDoesNotHappen(t *testing.T) {
	col, path := open(t, "x.csv", "id,title\n1,a\n", file.File{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := col.(connectors.Updater).Update(ctx, nil, "1", "", text("b")); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	if got := contentOf(t, path); got != "id,title\n1,a\n" {
		t.Errorf("the file is %q", got)
	}
}

func TestAFileThatGrowsWhileItIsReadIsNoScan(t *testing.T) {
	col, path := open(t, "x.ndjson", "{\"id\":1}\n{\"id\":2}\n", file.File{})
	_, err := col.Scan(t.Context(), connectors.Query{Paths: []string{"id"}}, func(record.Record) error {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString("{\"id\":")
		return errors.Join(err, f.Close())
	})
	if !errors.Is(err, connectors.ErrBusy) && !errors.Is(err, connectors.ErrProtocol) {
		t.Errorf("the error is %v, want ErrBusy or ErrProtocol", err)
	}
}

func TestRecordsLargerThanTheBuffer(t *testing.T) {
	big := strings.Repeat("x,\"y\"\n", 500_000)
	for _, c := range []struct{ file, content string }{
		{"x.ndjson", `{"id":"1"}` + "\n" + `{"id":"2","title":` + strconv.Quote(big) + `}` + "\n" + `{"id":"3"}`},
		{"x.json", `[{"id":"1"},{"id":"2","title":` + strconv.Quote(big) + `},{"id":"3"}]`},
		{"x.csv", "id,title\n1,\n2,\"" + strings.ReplaceAll(big, `"`, `""`) + "\"\n3,"},
	} {
		t.Run(c.file, func(t *testing.T) {
			col, _ := open(t, c.file, c.content, file.File{})
			got := scan(t, col, "title")
			if len(got) != 3 || got["2"] != record.OfText(big).String() {
				t.Errorf("delivered %d records, the large one with %d bytes", len(got), len(got["2"]))
			}
		})
	}
	t.Run("and one that is too large", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "x.ndjson")
		if err := os.WriteFile(path, []byte("{\"id\":1}\n{\"id\":\""+strings.Repeat("x", 17<<20)+"\"}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		conn, err := (&file.Config{Path: path}).Open(env(""))
		if err != nil {
			t.Fatal(err)
		}
		if _, err = conn.Collection(t.Context(), "x"); !errors.Is(err, connectors.ErrProtocol) || !strings.Contains(err.Error(), "line 2: a record is longer than 16 MiB") {
			t.Errorf("the error is %v", err)
		}
	})
}
