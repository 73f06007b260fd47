// SPDX-License-Identifier: MIT
// The other side of the example: asks a queue and takes the answers from one of its own, by their
// correlation.
'use strict';
const amqp = require('amqplib');

const [, , url, queue, ...texts] = process.argv;

(async () => {
  const connection = await amqp.connect(url);
  const channel = await connection.createChannel();
  await channel.assertQueue(queue, { durable: false });
  const mine = await channel.assertQueue('', { exclusive: true });
  const asked = new Map();
  await channel.consume(mine.queue, async (message) => {
    const id = message.properties.correlationId;
    if (asked.has(id)) {
      console.log(asked.get(id) + ': ' + message.content.toString());
      asked.delete(id);
    }
    if (asked.size === 0) {
      await channel.close();
      await connection.close();
    }
  }, { noAck: true });
  texts.forEach((text, i) => {
    asked.set('id-' + i, text);
    channel.sendToQueue(queue, Buffer.from(text), { correlationId: 'id-' + i, replyTo: mine.queue });
  });
})();
