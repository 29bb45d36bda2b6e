#include "ha/operation_state.h"

#include <algorithm>
#include <string_view>

namespace p11ha::ha {

using cryptoki::Call;
using cryptoki::Fn;
using cryptoki::makeCall;

namespace {

// What stands before a member's own state: a name, the operations that were active (a bit each), the member's serial.
constexpr std::string_view kName = "p11ha state 1";

using OperationMask = std::uint16_t;
static_assert(cryptoki::kOpCount <= 16);

std::vector<std::uint8_t> tagOf(const std::string& serial, OperationMask operations) {
  std::vector<std::uint8_t> tag(kName.begin(), kName.end());
  tag.push_back(static_cast<std::uint8_t>(operations & 0xff));
  tag.push_back(static_cast<std::uint8_t>(operations >> 8));
  tag.push_back(static_cast<std::uint8_t>(serial.size()));
  tag.insert(tag.end(), serial.begin(), serial.end());
  return tag;
}

struct Saved {
  std::string_view serial;
  OperationMask operations = 0;
  std::span<std::uint8_t> own;
};

std::optional<Saved> parse(std::span<std::uint8_t> blob) {
  const std::size_t fixed = kName.size() + 3;
  if (blob.size() < fixed || !std::equal(kName.begin(), kName.end(), blob.begin())) return std::nullopt;
  const auto tag = blob.subspan(kName.size(), 3);
  if (tag[2] > blob.size() - fixed) return std::nullopt;
  const auto serial = blob.subspan(fixed, tag[2]);
  return Saved{{reinterpret_cast<const char*>(serial.data()), serial.size()},
               static_cast<OperationMask>(tag[0] | tag[1] << 8),
               blob.subspan(fixed + serial.size())};
}

OperationMask activeOn(const Session& session, unsigned member) P11HA_REQUIRES(session.mutex) {
  OperationMask active = 0;
  for (std::size_t op = 0; op < session.operations.size(); ++op) {
    const Operation& operation = session.operations[op];
    if (operation.active() && operation.epoch != 0 && operation.member == member)
      active = static_cast<OperationMask>(active | 1U << op);
  }
  return active;
}

}  // namespace

CK_RV OperationStates::get(Session& session, const Call& call) {
  auto* const out = call.get<CK_BYTE*>(1);
  auto* const room = call.get<CK_ULONG*>(2);
  Request request{call, {}};
  if (Operation* const active = session.anyActive()) request.operations[0] = active;
  CK_ULONG length = 0;
  if (room != nullptr) {
    request.call.set(1, static_cast<CK_BYTE*>(nullptr));
    request.call.set(2, &length);
  }
  if (const CK_RV rv = failover_.run(session, request); rv != CKR_OK || room == nullptr) return rv;
  GroupMember& member = group_.member(request.answeredBy);
  const auto tag = tagOf(member.serial, activeOn(session, member.index));
  const CK_ULONG given = std::exchange(*room, tag.size() + length);
  if (out == nullptr) return CKR_OK;
  if (given < *room) return CKR_BUFFER_TOO_SMALL;
  Request again{call, {}};
  again.operations = request.operations;
  again.only = bit(member.index);
  length = given - tag.size();
  again.call.set(1, out + tag.size());
  again.call.set(2, &length);
  const CK_RV rv = failover_.run(session, again);
  *room = tag.size() + length;
  if (rv == CKR_OK) std::copy(tag.begin(), tag.end(), out);
  return rv;
}

CK_RV OperationStates::set(Session& session, const Call& call, std::span<const NamedObject> keys) {
  auto* const blob = call.get<std::uint8_t*>(1);
  const auto saved = parse({blob, blob == nullptr ? 0 : call.get<CK_ULONG>(2)});
  if (!saved) {
    // Not ours. Whether members have such states at all, one of them says.
    CK_ULONG length = 0;
    Request request{makeCall<Fn::GetOperationState>(CK_SESSION_HANDLE{0}, nullptr, &length), {}};
    return failover_.run(session, request) == CKR_FUNCTION_NOT_SUPPORTED ? CKR_FUNCTION_NOT_SUPPORTED
                                                                         : CKR_SAVED_STATE_INVALID;
  }
  const GroupMember* const member = group_.members.find(std::string(saved->serial));
  if (member == nullptr || (group_.callable() & bit(member->index)) == 0) return CKR_SAVED_STATE_INVALID;
  Request request{call, keys};
  request.only = bit(member->index);
  request.call.set(1, saved->own.data());
  request.call.set(2, saved->own.size());
  const CK_RV rv = failover_.run(session, request);
  if (rv != CKR_OK) return rv;
  for (std::size_t op = 0; op < session.operations.size(); ++op) {
    Operation& operation = session.operations[op];
    if (static_cast<cryptoki::Op>(op) == cryptoki::Op::Find) continue;
    operation.end();
    if ((saved->operations >> op & 1U) == 0) continue;
    operation.mechanism.clear();
    operation.standing = Standing::Active;
    session.noteBegun(static_cast<cryptoki::Op>(op));
    operation.pinned = true;
    operation.member = static_cast<std::uint8_t>(request.answeredBy);
    operation.epoch = request.answeredUnder;
  }
  return CKR_OK;
}

}  // namespace p11ha::ha
