// SPDX-License-Identifier: MIT
// A message with every type of header amqplib can write.
'use strict';
const amqp = require('amqplib');

const [, , url, key] = process.argv;

(async () => {
  const connection = await amqp.connect(url);
  const channel = await connection.createConfirmChannel();
  channel.publish('amq.topic', key, Buffer.from([0, 255, 1]), {
    headers: {
      text: 'é', int: -7, big: 5000000000, double: 0.5, yes: true, no: false, nothing: null,
      list: ['a', 1, [true]], table: { in: { side: 'x"y' } }, bytes: Buffer.from([1, 254]),
      when: { '!': 'timestamp', value: 1700000000 },
    },
    messageId: 'm-1', type: 'kind', appId: 'app', contentEncoding: 'identity', priority: 3,
    contentType: 'application/x', correlationId: 'c-1', replyTo: 'some.queue', expiration: '60000',
    timestamp: 1700000001,
  });
  await channel.waitForConfirms();
  await channel.close();
  await connection.close();
})();
