# SPDX-License-Identifier: MIT
# Runs `pubsub bench` for fractions of a second. Nothing here depends on how fast it is: exit code 9
# (rate not held) is as good as 0 where a slow machine may earn it.
cmake_minimum_required(VERSION 3.22)

file(REMOVE_RECURSE "${DIR}")
file(MAKE_DIRECTORY "${DIR}/state")
set(ENV{XDG_STATE_HOME} "${DIR}/state")
set(ENV{XDG_CONFIG_HOME} "${DIR}")
unset(ENV{PUBSUB_BUS})
unset(ENV{PUBSUB_BROKER})
set(short -z 100ms --warmup 30ms -r 500 --drain 20s --timeout 20s)

# bench(RESULT_VAR "0;9" args...): run, check the exit code, give stdout.
function(bench out codes)
    execute_process(COMMAND "${PUBSUB}" bench ${ARGN}
        OUTPUT_VARIABLE text ERROR_VARIABLE errors RESULT_VARIABLE code)
    if(NOT code IN_LIST codes)
        list(JOIN ARGN " " line)
        message(FATAL_ERROR "bench ${line}: exit code ${code}, wanted ${codes}\n${text}\n${errors}")
    endif()
    set(${out} "${text}" PARENT_SCOPE)
    set(errors "${errors}" PARENT_SCOPE)
endfunction()

function(expect left op right what)
    if(NOT "${left}" ${op} "${right}")
        message(FATAL_ERROR "${what}: ${left}, wanted ${op} ${right}")
    endif()
endfunction()

# Every message of a run has exactly one fate.
function(check_accounting json figure)
    string(JSON run GET "${json}" figures ${figure} runs 0)
    string(JSON sent GET "${run}" publishers 0 sent)
    string(JSON accepted GET "${run}" publishers 0 accepted)
    expect(${sent} GREATER 0 "sent")
    expect(${accepted} EQUAL ${sent} "accepted of figure ${figure}")
    string(JSON subscribers LENGTH "${run}" subscribers)
    if(subscribers GREATER 0)
        string(JSON to GET "${run}" subscribers 0)
        string(JSON received GET "${to}" received)
        string(JSON lost GET "${to}" lost)
        math(EXPR both "${received} + ${lost}")
        expect(${both} EQUAL ${sent} "received and lost of figure ${figure}")
        foreach(none duplicates reordered corrupt foreign negative_latencies)
            string(JSON value GET "${to}" ${none})
            expect(${value} EQUAL 0 "${none} of figure ${figure}")
        endforeach()
    endif()
endfunction()

# All four figures, in their order, adding up; in two processes and in one.
foreach(processes "" --one-process)
    bench(json "0;9" ${short} --report json --verify full -b "local:${DIR}/bus" ${processes})
    set(at 0)
    foreach(name publish_throughput publish_latency end_to_end_throughput end_to_end_latency)
        string(JSON got GET "${json}" figures ${at} name)
        expect("${got}" STREQUAL "${name}" "figure ${at}")
        check_accounting("${json}" ${at})
        math(EXPR at "${at} + 1")
    endforeach()
    foreach(field pubsub cpu cores kernel load time)
        string(JSON value GET "${json}" environment ${field})
        expect("${value}" MATCHES "." "environment.${field}")
    endforeach()
endforeach()

# The schedule is kept to the message: 130 ms at 500/s are 65.
string(JSON got GET "${json}" figures 3 runs 0 valid)
if(got)
    string(JSON sent GET "${json}" figures 3 runs 0 publishers 0 sent)
    expect(${sent} EQUAL 65 "messages of the schedule")
endif()

# Several of each: all subscribers get everything from all publishers.
bench(json 0 e2e -c 2000 --warmup 0 -x 2 -y 2 --report json -b "local:${DIR}/bus")
foreach(subscriber 0 1)
    string(JSON got GET "${json}" figures 0 runs 0 subscribers ${subscriber} received)
    expect(${got} EQUAL 2000 "received by subscriber ${subscriber}")
endforeach()

# Losses that were made are counted exactly and fail the run.
bench(json 8 e2e -c 1005 --warmup 0 --drain 300ms --drop-for-test 100 --report json
    -b "local:${DIR}/bus")
string(JSON lost GET "${json}" figures 0 runs 0 subscribers 0 lost)
expect(${lost} EQUAL 10 "lost")
expect("${errors}" MATCHES "verification failed" "stderr")

# A rate that no machine holds makes the run invalid.
bench(json 9 latency -z 100ms --warmup 0 -r 1000000000 --report json -b "local:${DIR}/bus")
string(JSON valid GET "${json}" figures 0 runs 0 valid)
expect("${valid}" STREQUAL "OFF" "valid")
expect("${errors}" MATCHES "not valid" "stderr")

# Without a path the bus is a private one, and nothing of it stays.
bench(text "0;9" ${short} -b local:)
expect("${text}" MATCHES
    "publish throughput.*publish latency.*end-to-end throughput.*end-to-end latency.*accounting"
    "text report")
file(GLOB left "${DIR}/state/pubsub/*")
expect("${left}" STREQUAL "" "files left")

# Wrong usage and unknown brokers say so.
bench(text 2 -b nothing://here)
bench(text 2 e2e topic/+ -b "local:${DIR}/bus")
bench(text 2 e2e a b -b "local:${DIR}/bus")
bench(text 2 --size 31)

# The baseline loses nothing, and the micro-benchmarks print JSON.
if(RAW)
    execute_process(COMMAND "${RAW}" all "${DIR}/raw" 50 0 256 256 500
        OUTPUT_VARIABLE text RESULT_VARIABLE code)
    expect("${code}" STREQUAL "0" "exit code of the baseline")
    expect("${text}" MATCHES "end_to_end_latency.*\"missing\":0,\"bad\":0" "baseline")
    execute_process(COMMAND "${MICRO}" --json histogram OUTPUT_VARIABLE text RESULT_VARIABLE code)
    string(JSON name GET "${text}" 0 name)
    expect("${name}" STREQUAL "histogram record" "micro")
endif()

file(REMOVE_RECURSE "${DIR}")
