#include "testbed/fault_proxy/fault.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <string_view>

namespace p11ha::testbed {
namespace {

using Kind = Fault::Kind;

enum class Amount : std::uint8_t { None, May, Must };

struct FaultWord {
  Kind kind;
  std::string_view word;
  Amount amount;
  std::uint64_t unless;  // it is told
};
constexpr FaultWord kFaultWords[] = {
    {Kind::Pass, "pass", Amount::None, 0},          {Kind::Drop, "drop", Amount::None, 0},
    {Kind::Delay, "delay", Amount::Must, 0},        {Kind::Stall, "stall", Amount::None, 0},
    {Kind::HalfOpen, "half-open", Amount::None, 0}, {Kind::Throttle, "throttle", Amount::Must, 0},
    {Kind::Reset, "reset", Amount::May, 7},         {Kind::Corrupt, "corrupt", Amount::May, 7},
};

constexpr std::string_view kToClient = "to-client";
constexpr std::string_view kToServer = "to-server";

base::Failure<std::string> wrong(std::string what) { return base::Failure{std::move(what)}; }

const FaultWord& rowOf(Kind kind) {
  return *std::find_if(std::begin(kFaultWords), std::end(kFaultWords),
                       [kind](const FaultWord& row) { return row.kind == kind; });
}

}  // namespace

const char* const kFaultHelp =
    "  pass            everything passes (as at first)\n"
    "  drop            what is sent is swallowed\n"
    "  delay MS        what is sent arrives so much later\n"
    "  stall           nothing is taken in any more, so that the sender's buffers fill\n"
    "  throttle N      N bytes a second\n"
    "  half-open       the daemon sees its connections end, the clients do not; nor do new ones reach it\n"
    "  reset [N]       each open connection is reset after N more bytes (7); 0: at once\n"
    "  corrupt [N]     the byte after N more (7) of each open connection is inverted\n"
    "All but half-open may end in to-client or to-server, for the bytes that go there. The last two happen once, the\n"
    "others last until the next one; after half-open, that one resets the connections that have nobody behind them.\n";

base::Result<Fault, std::string> parseFault(const std::vector<std::string>& words) {
  if (words.empty()) return wrong("which fault?");
  const auto* const row = std::find_if(std::begin(kFaultWords), std::end(kFaultWords),
                                       [&](const FaultWord& each) { return each.word == words[0]; });
  if (row == std::end(kFaultWords)) return wrong("\"" + words[0] + "\" is no fault");
  Fault fault{row->kind, Way::Both, row->unless};
  std::size_t used = 1;
  if (row->amount != Amount::None && used < words.size() && words[used] != kToClient && words[used] != kToServer) {
    const std::string& word = words[used++];
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), fault.amount);
    if (error != std::errc() || end != word.data() + word.size()) return wrong("\"" + word + "\" is no number");
    if (fault.kind == Kind::Throttle && fault.amount == 0) return wrong("to throttle to nothing is to stall");
  } else if (row->amount == Amount::Must) {
    return wrong("\"" + words[0] + "\" wants a number");
  }
  if (used < words.size() && fault.kind != Kind::HalfOpen) {
    if (words[used] == kToClient) fault.way = Way::ToClient;
    if (words[used] == kToServer) fault.way = Way::ToServer;
    if (fault.way != Way::Both) ++used;
  }
  if (used < words.size()) return wrong("\"" + words[used] + "\" is too much");
  return fault;
}

std::string faultText(const Fault& fault) {
  const FaultWord& row = rowOf(fault.kind);
  std::string text(row.word);
  if (row.amount != Amount::None) text += ' ' + std::to_string(fault.amount);
  if (fault.way != Way::Both) (text += ' ') += fault.way == Way::ToClient ? kToClient : kToServer;
  return text;
}

}  // namespace p11ha::testbed
