// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

struct AccountCall {
    address target;
    bytes data;
}

/// What accounts with code have in common: a key signs for them, and they do what they are told.
abstract contract Account is IERC1271 {
    function _judge(bytes32 hash, bytes calldata signature, address key) internal pure returns (bytes4) {
        (address signer, ECDSA.RecoverError problem,) = ECDSA.tryRecover(hash, signature);
        return problem == ECDSA.RecoverError.NoError && signer == key ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }

    function _run(AccountCall[] calldata calls) internal {
        for (uint256 i = 0; i < calls.length; i++) {
            (bool done, bytes memory why) = calls[i].target.call(calls[i].data);
            if (!done) {
                assembly {
                    revert(add(why, 32), mload(why))
                }
            }
        }
    }
}

/// A smart wallet of one owner (EIP-1271).
contract SmartWallet is Account {
    address public factory;
    address public owner;

    constructor(address owner_) {
        factory = msg.sender;
        owner = owner_;
    }

    function run(AccountCall[] calldata calls) external {
        require(msg.sender == owner || msg.sender == factory, "not yours");
        _run(calls);
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        return _judge(hash, signature, owner);
    }
}

/// Makes such wallets at addresses that are known before (ERC-6492), and lets each begin with calls of its own: an approval, or worse.
contract WalletFactory {
    event Made(address wallet, address indexed by, address indexed payingGas);

    function make(address owner, bytes32 salt, AccountCall[] calldata first) external returns (SmartWallet wallet) {
        wallet = new SmartWallet{salt: salt}(owner);
        wallet.run(first);
        emit Made(address(wallet), msg.sender, tx.origin);
    }

    function addressOf(address owner, bytes32 salt) external view returns (address) {
        bytes32 code = keccak256(abi.encodePacked(type(SmartWallet).creationCode, abi.encode(owner)));
        return address(uint160(uint256(keccak256(abi.encodePacked(bytes1(0xff), address(this), salt, code)))));
    }
}

/// Code that a key account delegates to (EIP-7702): its own key signs for it, or a second one that it appointed.
contract DelegatedAccount is Account {
    address public second;

    function appoint(address key) external {
        require(msg.sender == address(this), "not yours");
        second = key;
    }

    /// What the second key signs has a byte behind it.
    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        return _judge(hash, signature[:65], signature.length == 65 ? address(this) : second);
    }
}

/// An account that means harm, in one of several ways.
contract HostileAccount is IERC1271 {
    enum Way {
        AcceptsAll,
        Reverts,
        BurnsGas,
        BurnsGasWhenPaidFor,
        ReturnsMuch,
        Reenters
    }

    Way public way;
    address public target;
    bytes public data;

    function become(Way way_, address target_, bytes calldata data_) external {
        (way, target, data) = (way_, target_, data_);
    }

    function run(AccountCall[] calldata calls) external {
        for (uint256 i = 0; i < calls.length; i++) {
            (bool done,) = calls[i].target.call(calls[i].data);
            require(done, "a call failed");
        }
    }

    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        if (way == Way.Reverts) revert("never");
        if (way == Way.BurnsGas || (way == Way.BurnsGasWhenPaidFor && tx.gasprice > 0)) while (true) {}
        if (way == Way.ReturnsMuch) {
            assembly {
                mstore(0, 0x1626ba7e00000000000000000000000000000000000000000000000000000000)
                return(0, 400000)
            }
        }
        if (way == Way.Reenters) {
            // What is only asked may not act; it may try, and say yes all the same.
            (bool done,) = target.staticcall(data);
            if (done) revert("let in");
        }
        return this.isValidSignature.selector;
    }
}
