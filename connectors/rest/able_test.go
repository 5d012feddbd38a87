package rest_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
)

func can[T any](c connectors.Collection) bool {
	_, ok := connectors.As[T](c)
	return ok
}

func TestACollectionCanDoWhatIsDescribed(t *testing.T) {
	const least = "url = \"http://127.0.0.1:1\"\ncollection \"items\" {\nkey = \"item.id\"\nlist {\npath = \"/items\"\nitems = \"body\"\n}\nread { path = \"/items/{key}\" }\n"
	const list = "list {\npath = \"/x/{key}\"\nitems = \"body\"\n}\n"
	for _, tt := range []struct {
		name, more string
		want       []string
	}{
		{"reading alone", "", []string{"find", "describe"}},
		{"a create", "create {\npath = \"/items\"\nkey = \"body.id\"\n}\n", []string{"find", "describe", "create"}},
		{"an update", "update { path = \"/items/{key}\" }\n", []string{"find", "describe", "update"}},
		{"a delete", "delete { path = \"/items/{key}\" }\n", []string{"find", "describe", "delete"}},
		{"comments that are only read", "comments \"notes\" {\nid = \"item.id\"\ntext = \"item.text\"\n" + list + "}\n", []string{"find", "describe", "hear"}},
		{"comments that are added and edited", "comments \"notes\" {\nid = \"item.id\"\ntext = \"item.text\"\n" + list + "add {\npath = \"/x/{key}\"\ntext = \"t\"\n}\nedit {\npath = \"/x/{id}\"\ntext = \"t\"\n}\n}\n",
			[]string{"find", "describe", "hear", "say", "edit"}},
		{"files that are only read", "attachments \"files\" {\nid = \"item.id\"\nname = \"item.name\"\n" + list + "open { path = \"/x/{id}\" }\n}\n", []string{"find", "describe", "open"}},
		{"files that are added", "attachments \"files\" {\nid = \"item.id\"\nname = \"item.name\"\n" + list + "open { path = \"/x/{id}\" }\nadd {\npath = \"/x/{key}\"\nbody = \"raw\"\n}\n}\n", []string{"find", "describe", "open", "attach"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := collection(t, least+tt.more+"}\n", "items")
			var got []string
			for _, a := range []struct {
				name string
				has  bool
			}{
				{"find", can[connectors.Finder](c)}, {"describe", can[connectors.Describer](c)},
				{"create", can[connectors.Creator](c)}, {"update", can[connectors.Updater](c)}, {"delete", can[connectors.Deleter](c)},
				{"hear", can[connectors.CommentReader](c)}, {"say", can[connectors.Commenter](c)}, {"edit", can[connectors.CommentEditor](c)},
				{"open", can[connectors.AttachmentReader](c)}, {"attach", can[connectors.Attacher](c)},
				{"notify", can[connectors.Notifier](c)}, {"batch", can[connectors.Batcher](c)},
			} {
				if a.has {
					got = append(got, a.name)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("it can (-want +got):\n%s", diff)
			}
		})
	}
}
