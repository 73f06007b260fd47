/* SPDX-License-Identifier: MIT */
#include "conformance/suites.h"

const conf_suite conf_suites[] = {{"lifecycle", conf_lifecycle},
                                  {"calls", conf_calls},
                                  {"delivery", conf_delivery},
                                  {"reports", conf_reports},
                                  {"topics", conf_topics},
                                  {"order", conf_order},
                                  {"workers", conf_workers},
                                  {"payloads", conf_payloads},
                                  {"refusals", conf_refusals},
                                  {"ack", conf_ack},
                                  {"groups", conf_groups},
                                  {"request", conf_request},
                                  {"retained", conf_retained},
                                  {"replay", conf_replay},
                                  {"close", conf_close},
                                  {"limits", conf_limits},
                                  {"crash", conf_crash},
                                  {"once", conf_once},
#ifndef CONF_WITHOUT_FAULTS
                                  {"faults", conf_faults},
#endif
                                  {NULL, NULL}};
