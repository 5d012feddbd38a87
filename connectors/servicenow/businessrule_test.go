package servicenow_test

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/engine/access"
)

// standIns are what an instance gives to a script. SCOPED leaves out what an application scope does not see; the requests
// that were sent are printed.
const standIns = `
const crypto = require('crypto'), fs = require('fs');
const set = JSON.parse(process.argv[1]);
const sent = [];
const base64 = s => Buffer.from(s, 'utf8').toString('base64');
class Encryption {
  generateMac(key, algorithm, data) {
    if (algorithm !== 'HmacSHA256') throw new Error(algorithm);
    return crypto.createHmac('sha256', Buffer.from(key, 'base64')).update(data, 'utf8').digest('base64');
  }
}
const names = {
  gs: {
    getProperty: (name, otherwise) => name in set.properties ? set.properties[name] : otherwise,
    generateGUID: () => crypto.randomBytes(16).toString('hex'),
    base64Encode: base64,
    warn: m => console.error('warn', m), error: m => console.error('error', m),
  },
  GlideDateTime: class { getNumericValue() { return set.now; } },
  CertificateEncryption: Encryption,
  sn_ws: { RESTMessageV2: class {
    constructor() { this.r = {headers: {}}; }
    setEndpoint(u) { this.r.url = u; }
    setHttpMethod(m) { this.r.method = m; }
    setHttpTimeout() {}
    setRequestHeader(k, v) { this.r.headers[k] = v; }
    setRequestBody(b) { this.r.body = b; }
    execute() { throw new Error('somebody waits for it'); }
    executeAsync() { if (set.broken) throw new Error('no route'); sent.push(this.r); }
  } },
  current: {
    getValue: name => set.record[name], getUniqueValue: () => set.record.sys_id,
    getTableName: () => 'incident', operation: () => 'update',
  },
  previous: null,
};
if (!set.scoped) {
  names.GlideCertificateEncryption = Encryption;
  names.GlideStringUtil = { base64Encode: base64 };
  delete names.CertificateEncryption;
  delete names.gs.base64Encode;
}
new Function(...Object.keys(names), fs.readFileSync('businessrule/webhook.js', 'utf8'))(...Object.values(names));
process.stdout.write(JSON.stringify(sent));
`

// A sentRequest is what the script has sent.
type sentRequest struct {
	URL, Method, Body string
	Headers           map[string]string
}

func runRule(t *testing.T, settings map[string]any) []sentRequest {
	t.Helper()
	arg, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "-e", standIns, string(arg))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the script failed: %v", err)
	}
	var sent []sentRequest
	if err := json.Unmarshal(out, &sent); err != nil {
		t.Fatal(err)
	}
	return sent
}

func TestTheBusinessRuleTellsOfARecord(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("there is no node to run the script with: ", err)
	}
	now := time.Now()
	const secret = "hush-hush-é-hush"
	properties := map[string]string{"fieldsync.webhook.url": "https://sync.example.com/hooks/prod/{table}", "fieldsync.webhook.secret": secret, "fieldsync.webhook.user": "svc.fieldsync"}
	record := map[string]string{"sys_id": "9c573169c611228700193229fff72400", "sys_updated_by": "beth.anglin"}
	for _, scoped := range []bool{false, true} {
		sent := runRule(t, map[string]any{"scoped": scoped, "now": now.UnixMilli(), "properties": properties, "record": record})
		if len(sent) != 1 {
			t.Fatalf("scoped %v: %d requests, want 1", scoped, len(sent))
		}
		r := sent[0]
		if r.URL != "https://sync.example.com/hooks/prod/incident" || !strings.EqualFold(r.Method, "post") {
			t.Errorf("scoped %v: %s %s", scoped, r.Method, r.URL)
		}
		h := http.Header{}
		for k, v := range r.Headers {
			h.Set(k, v)
		}
		s := access.Own
		s.Secret = secret
		if err := s.Verify(h, []byte(r.Body), now); err != nil {
			t.Errorf("scoped %v: its signature is refused: %v", scoped, err)
		}
		var body map[string]string
		if err := json.Unmarshal([]byte(r.Body), &body); err != nil {
			t.Fatal(err)
		}
		delete(body, "nonce")
		if diff := cmp.Diff(map[string]string{"key": record["sys_id"], "table": "incident", "operation": "update"}, body); diff != "" {
			t.Errorf("scoped %v: body (-want +got):\n%s", scoped, diff)
		}
	}
	own := map[string]string{"sys_id": record["sys_id"], "sys_updated_by": "svc.fieldsync"}
	if sent := runRule(t, map[string]any{"now": now.UnixMilli(), "properties": properties, "record": own}); len(sent) > 0 {
		t.Errorf("fieldsync's own write was told: %v", sent)
	}
	if sent := runRule(t, map[string]any{"now": now.UnixMilli(), "properties": map[string]string{}, "record": record}); len(sent) > 0 {
		t.Errorf("without settings it sent %v", sent)
	}
	if sent := runRule(t, map[string]any{"now": now.UnixMilli(), "properties": properties, "record": record, "broken": true}); len(sent) > 0 {
		t.Errorf("sent %v", sent) // and no error reaches who saves the record
	}
}
