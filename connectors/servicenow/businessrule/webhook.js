// A business rule that tells fieldsync of a changed record. README.md beside this file says how to set it up.
//
// It sends the record's sys_id and nothing of its content: fieldsync reads the record itself. What is lost, doubled or late
// does no harm, so nothing is tried twice, and nobody who saves a record waits for it.
(function executeRule(current, previous) {
	var url = gs.getProperty('fieldsync.webhook.url', '');
	var secret = gs.getProperty('fieldsync.webhook.secret', '');
	if (!url || !secret) {
		gs.warn('fieldsync: set the properties fieldsync.webhook.url and fieldsync.webhook.secret');
		return;
	}
	// What fieldsync itself has written it knows already.
	if (current.getValue('sys_updated_by') == gs.getProperty('fieldsync.webhook.user', '')) {
		return;
	}
	// The address names the collection; one rule may serve several tables.
	var address = url.replace('{table}', current.getTableName());
	var body = JSON.stringify({
		key: current.getUniqueValue(),
		table: current.getTableName(),
		operation: '' + current.operation(),
		nonce: gs.generateGUID() // two changes in one second are two requests
	});
	var at = '' + Math.floor(new GlideDateTime().getNumericValue() / 1000);
	try {
		var request = new sn_ws.RESTMessageV2();
		request.setEndpoint(address);
		request.setHttpMethod('post');
		request.setHttpTimeout(10000);
		request.setRequestHeader('Content-Type', 'application/json');
		request.setRequestHeader('X-Fieldsync-Timestamp', at);
		request.setRequestHeader('X-Fieldsync-Signature', 'sha256=' + mac(secret, at + '.' + body));
		request.setRequestBody(body);
		request.executeAsync();
	} catch (e) {
		gs.error('fieldsync: the change of ' + current.getUniqueValue() + ' was not told: ' + e);
	}

	// mac is the HMAC-SHA256 in base64. An application scope and the global one have classes of their own for it.
	function mac(key, text) {
		if (typeof GlideCertificateEncryption !== 'undefined') {
			return new GlideCertificateEncryption().generateMac(GlideStringUtil.base64Encode(key), 'HmacSHA256', text);
		}
		return new CertificateEncryption().generateMac(gs.base64Encode(key), 'HmacSHA256', text);
	}
})(current, previous);
