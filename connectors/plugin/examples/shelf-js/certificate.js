// Certificate makes a key and a certificate for localhost, signed by itself, that nobody has seen before. Node.js can
// read certificates and not write them, so this writes the few bytes of ASN.1 (RFC 5280) that one needs.
'use strict';

const crypto = require('node:crypto');

const tagged = (tag, ...parts) => {
  const body = Buffer.concat(parts);
  const length = body.length < 128 ? [body.length] : body.length < 256 ? [0x81, body.length] : [0x82, body.length >> 8, body.length & 255];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
};
const sequence = (...parts) => tagged(0x30, ...parts);
const integer = (...bytes) => tagged(0x02, Buffer.from(bytes));
const octets = (body) => tagged(0x04, body);
const bits = (body) => tagged(0x03, Buffer.from([0]), body);
const oid = (hex) => tagged(0x06, Buffer.from(hex, 'hex'));
const time = (date) => tagged(0x17, Buffer.from(date.toISOString().replace(/[-:T]|\.\d+/g, '').slice(2)));

const ecdsaWithSHA256 = sequence(oid('2a8648ce3d040302'));
const truth = tagged(0x01, Buffer.from([0xff]));

function certificate() {
  const { privateKey, publicKey } = crypto.generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const name = sequence(tagged(0x31, sequence(oid('550403'), tagged(0x0c, Buffer.from('localhost')))));
  const hour = 3600 * 1000;
  const serial = crypto.randomBytes(12);
  serial[0] = (serial[0] & 0x7f) | 0x40; // positive, and as long as it looks
  const body = sequence(
    tagged(0xa0, integer(2)), // version 3
    integer(...serial),
    ecdsaWithSHA256,
    name, // of the issuer
    sequence(time(new Date(Date.now() - hour)), time(new Date(Date.now() + 10 * 365 * 24 * hour))),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    tagged(
      0xa3,
      sequence(
        sequence(oid('551d11'), octets(sequence(tagged(0x82, Buffer.from('localhost'))))), // the name that is compared
        sequence(oid('551d13'), truth, octets(sequence(truth))), // it has signed itself
      ),
    ),
  );
  const der = sequence(body, ecdsaWithSHA256, bits(crypto.sign('sha256', body, privateKey)));
  const lines = der.toString('base64').match(/.{1,64}/g).join('\n');
  const pem = `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
  return { der, pem: Buffer.from(pem), key: Buffer.from(privateKey.export({ type: 'pkcs8', format: 'pem' })) };
}

module.exports = { certificate };
