// SPDX-License-Identifier: MIT
// What amqplib makes of a message of ours, as a line of JSON.
'use strict';
const amqp = require('amqplib');

const [, , url, key] = process.argv;

(async () => {
  const connection = await amqp.connect(url);
  const channel = await connection.createChannel();
  const mine = await channel.assertQueue('', { exclusive: true });
  await channel.bindQueue(mine.queue, 'amq.topic', key);
  await channel.consume(mine.queue, async (message) => {
    console.log(JSON.stringify({
      key: message.fields.routingKey, body: message.content.toString('hex'), properties: message.properties,
    }));
    channel.ack(message);
    await channel.close();
    await connection.close();
  });
  console.log('ready');
})();
