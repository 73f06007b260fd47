// SPDX-License-Identifier: MIT
// The service of the well-known RabbitMQ example: a queue, no acks, answers to where the request says.
'use strict';
const amqp = require('amqplib');

const [, , url, queue, count] = process.argv;
let left = Number(count);

(async () => {
  const connection = await amqp.connect(url);
  const channel = await connection.createChannel();
  await channel.assertQueue(queue, { durable: false });
  await channel.consume(queue, async (message) => {
    const text = message.content.toString();
    channel.sendToQueue(message.properties.replyTo, Buffer.from('pong ' + text),
      { correlationId: message.properties.correlationId });
    left -= 1;
    if (left === 0) {
      await channel.close();
      await connection.close();
    }
  }, { noAck: true });
  console.log('ready');
})();
