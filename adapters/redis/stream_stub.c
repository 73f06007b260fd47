#include "redis/adapter.h"
void pubsub__redis_stream_begin(redis_sub *sub){(void)sub;}
void pubsub__redis_stream_end(redis_sub *sub, bool forget){(void)sub;(void)forget;}
void pubsub__redis_stream_lost(redis_sub *sub){(void)sub;}
void pubsub__redis_stream_hub(redis_sub *sub){(void)sub;}
void pubsub__redis_stream_announced(redis_sub *sub, pubsub_bytes topic){(void)sub;(void)topic;}
void pubsub__redis_stream_read(redis_sub *sub){(void)sub;}
void pubsub__redis_stream_ack(redis_sub *sub, const pubsub_spi_ack *acks, size_t count){(void)sub;(void)acks;(void)count;}
