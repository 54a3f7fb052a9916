-- Requests by chance out of a file: each a line with its length, then its bytes.
local texts = {}

function init(args)
  local file = assert(io.open(args[1], "rb"))
  for line in file:lines() do
    texts[#texts + 1] = file:read(tonumber(line))
  end
  file:close()
  math.randomseed(20261122)
end

function request()
  return texts[math.random(#texts)]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'LAB {"requests":%d,"seconds":%.6f,"refused":%d,"broken":%d,'
      .. '"p50_us":%.1f,"p75_us":%.1f,"p90_us":%.1f,"p99_us":%.1f,"p999_us":%.1f}\n',
    summary.requests, summary.duration / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(75), latency:percentile(90), latency:percentile(99), latency:percentile(99.9)
  ))
end
