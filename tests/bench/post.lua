-- wrk: sends the requests of tests/bench/traffic.py and prints one line of JSON at the end.
-- Arguments: a file with the template, the first member's number, the first second.
local template, first, since
local number = -1

function init(args)
  local file = assert(io.open(args[1], "rb"))
  template, first, since = file:read("*a"), tonumber(args[2]), tonumber(args[3])
  file:close()
end

function request()
  number = number + 1
  local hundreds, thousands = math.floor(number / 100), math.floor(number / 1000)
  return string.format(template,
    math.floor(number / 10000) % 100, hundreds % 100, number % 100,
    number % 1000, first + number, since + thousands, number % 1000)
end

function done(summary, latency, requests)
  local wrong = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%.6f,"p50_us":%d,"p99_us":%d,"max_us":%d,"failed":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99), latency.max,
    wrong.connect + wrong.read + wrong.write + wrong.status + wrong.timeout))
end
