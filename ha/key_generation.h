// C_GenerateKey and C_GenerateKeyPair: a random key cannot be made twice, so it is made once and cloned, in a way that
// leaves no orphan and no half of a pair if a member dies meanwhile ("Making a key" in CLONING.md).
#pragma once

#include <array>
#include <vector>

#include "ha/key_management.h"

namespace p11ha::ha {

/// Owned by the VirtualToken. Any thread that holds the session.
class KeyGeneration {
 public:
  KeyGeneration(Group& group, Cloner& cloner, Failover& failover, KeyManagement& keys, const KeyTruth& truth,
                KeyRecords& records)
      : group_(group), cloner_(cloner), failover_(failover), keys_(keys), truth_(truth), records_(records) {}

  CK_RV generate(Session& session, const cryptoki::Call& call) P11HA_REQUIRES(session.mutex);

 private:
  struct Part;
  struct Holder;
  struct Making;

  void seal(const cryptoki::Call& call, Making& making) const;
  CK_RV make(Session& session, Making& making) P11HA_REQUIRES(session.mutex);
  CK_RV directly(Session& session, Making& making) P11HA_REQUIRES(session.mutex);
  /// Nothing: the member that made the keys was lost before anything lasting was done; begin again.
  std::optional<CK_RV> staged(Session& session, Making& making) P11HA_REQUIRES(session.mutex);
  /// Learns what is to be true of the keys, which the maker holds under these handles.
  void learn(Session& session, Making& making, const Holder& maker, const std::array<CK_OBJECT_HANDLE, 2>& handles)
      P11HA_REQUIRES(session.mutex);
  void cloneToOthers(Session& session, Making& making) P11HA_REQUIRES(session.mutex);
  CK_RV makeLasting(Session& session, Making& making) P11HA_REQUIRES(session.mutex);
  void dropTemporaries(Session& session, Making& making) P11HA_REQUIRES(session.mutex);

  Group& group_;
  Cloner& cloner_;
  Failover& failover_;
  KeyManagement& keys_;
  const KeyTruth& truth_;
  KeyRecords& records_;
};

}  // namespace p11ha::ha
