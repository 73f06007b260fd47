/* SPDX-License-Identifier: MIT */
/* HMAC as another implementation makes it (Python's hmac), around the lengths at which a secret is hashed first. */
#include "connectors/webhook/mac.h"

#include "support/cmocka.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *algorithm;
    size_t key_len; /* byte i is 7 * i + 1 */
    const char *hex;
} rows[] = {
    {"sha1", 1, "b40e3b31cb33fdee077bd72e8d2516558e59dae8"},
    {"sha1", 20, "b9fe2ea7644ef850bf599e7018e1b0d2c9eefe87"},
    {"sha1", 63, "10a8797c3cf8254505c1dd1de97e4d0321b57840"},
    {"sha1", 64, "c78a5a09e6c96baec80be4ba92b9831b01cef48d"},
    {"sha1", 65, "5de259c06f64c08256f4fa5e3e584549d817cd20"},
    {"sha1", 127, "6e0efa6bbb25367d5909e45f7b4ccbba1246d687"},
    {"sha1", 128, "8674e5aec09780843e1b10fc11ab849a4868ae4f"},
    {"sha1", 129, "6fac328b9f2439e1e2eddb6d09782ce78686879a"},
    {"sha1", 200, "d5df3c985df6a9fdb38b79ba70421ed53634ca1b"},
    {"sha256", 1, "4b72c351cac77ee7e7b9b83302187760d8f622502c0c7e830f60f017e503b44c"},
    {"sha256", 20, "a27085545029a29c40bbec600b0dbfdb00134545d080e88296a9b716e9edd21b"},
    {"sha256", 63, "b635c97b71ac99292b5e492a4f722f80e7aefdd5d964bd039016a8cbeddafa64"},
    {"sha256", 64, "ac3bca549323e39bf509104ce5ed76f0d65669156d4164488de2b1d015cd1547"},
    {"sha256", 65, "e179fd163d01a739cde4b196c8ca674bc36583fff48b8906c529a6a28f25fc62"},
    {"sha256", 127, "e246cb6404c4fde4c8680ffd82e68baf477207dca62c35e2e7e31dcfbeff01a5"},
    {"sha256", 128, "5f141018b13fa1e30d681000966ff5e97f65cb02a3f3d841eab5f093720773ff"},
    {"sha256", 129, "45c46c3c8136f9224ad8553b0c9168175af80e8aaccda4cdbcccb748d2336890"},
    {"sha256", 200, "137617093ac45d6b555bf87ed81073bf774d5141d2eb9ed03f916706ebbb9bfc"},
    {"sha512", 1,
     "82747941b2d62de99194399a4a0a555174ad62ca5165bfc7ed0b801f880490f1"
     "d2f48f98c851df4379b01fe62a772d459dbbfbab96a876c27f83652674c2c174"},
    {"sha512", 20,
     "82ce13bc15f74ce9f05930172c0a9b368475611757cef4993387f07b18c34a79"
     "055980706d3c153518a1ee2e6caf54752826f2177b0236da4ac521ad529c9405"},
    {"sha512", 63,
     "91b8981d1c21c995ae86855551899b2df8444eeb5cd70d158637740e8c980b88"
     "5aa9ead28ad39c494b4b5f6c6905abcfd115cae8da1544b6be134f638dad4b36"},
    {"sha512", 64,
     "e7992c6bb53695ba5ba24f1747130bd339c72ed0bb23b5ee736d0092f847c368"
     "7f3a0c011dfc98a16fb4c2e50269401ff52ecd60e194126c19af0b1e0f9c720c"},
    {"sha512", 65,
     "21f090eefeb2a1596dd3c979f7c87ffe3faf626d1cac26d4b220b6b7128e83c8"
     "3918015c9b7b4a288c86ce1f41ce3e5037e3d2e563c202345c99b216d8f371ca"},
    {"sha512", 127,
     "22e6bb88b6c82c8e396557ba58775243f17d3d79c119644db6f7aef876987fde"
     "f102c3e17a6b2c5b67069d49c3986613b787dbd7d8680022f66630e2ab3d4875"},
    {"sha512", 128,
     "7570c20412169d2ce69e8f1e6897ffc0a902b3c4a5e255086644413bbd9430b8"
     "18f5bd8c4e4d487d203d4ac25b6c68762d601e26a1d4f035319642d326cb2d48"},
    {"sha512", 129,
     "e4910b863c4d7b89a2025769eb1fcb0deeb5d8075fa3f0a5ccbe2f80e79133b2"
     "b030b1e25a83de5d5c433bb9a7f79a2d1c5a45b1585e056cfd7377f608e017ef"},
    {"sha512", 200,
     "f8f35e68dfd51ed8052ce118f97c7336a68e8e0c0ab2e824a4ff23be15813ad3"
     "c112bf53c24fe3496cfb1957b18de5db3250fe5e000c6c74d241fafa98a50cf0"},
};

static void make_hex(const unsigned char *bytes, size_t len, char *out)
{
    for (size_t i = 0; i < len; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    }
}

static void test_mac_is_hmac(void **state)
{
    /* In one piece, in several, and with an empty one. */
    static const pubsub_bytes whole[] = {{"What do ya want for nothing?", 28}};
    static const pubsub_bytes cut[] = {{"What do ya", 10}, {NULL, 0}, {" want for nothing?", 18}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned char key[256];
        unsigned char got[WEBHOOK_MAC_MAX];
        char hex[2 * WEBHOOK_MAC_MAX + 1] = "";
        for (size_t k = 0; k < rows[i].key_len; k++) {
            key[k] = (unsigned char)(7 * k + 1);
        }
        webhook_mac *mac = webhook_mac_new(rows[i].algorithm, key, rows[i].key_len);
        assert_non_null(mac);
        memset(key, 0, sizeof key); /* it has what it needs */
        for (int again = 0; again < 2; again++) {
            size_t len = webhook_mac_make(mac, whole, 1, got);
            make_hex(got, len, hex);
            assert_string_equal(hex, rows[i].hex);
            len = webhook_mac_make(mac, cut, 3, got);
            make_hex(got, len, hex);
            assert_string_equal(hex, rows[i].hex);
        }
        webhook_mac_free(mac);
    }
}

static void test_mac_of_an_unknown_algorithm_is_none(void **state)
{
    (void)state;
    assert_null(webhook_mac_new("sha257", "key", 3));
    webhook_mac_free(NULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mac_is_hmac),
        cmocka_unit_test(test_mac_of_an_unknown_algorithm_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
