// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {IPermit2, UsesPermit2} from "./Permit2.sol";

/// What the escrow asks of a collector: pull `amount` of `token` from `payer` into the escrow, by what the payer signed for this channel.
interface IDepositCollector {
    function collect(address payer, address token, uint256 amount, bytes32 channelId, bytes calldata collectorData) external;
}

/// The ERC-3009 function of which the caller must be the payee, so that nobody can spend a deposit's authorization elsewhere.
interface IReceiveWithAuthorization {
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external;
}

/// The escrow alone may collect: anybody else could name another channel than the signed one.
abstract contract DepositCollector is IDepositCollector {
    error OnlyX402BatchSettlement();
    /// Of the canonical constructor. The code here is placed at its address and has none; the ABI is the same.
    error InvalidX402BatchSettlementAddress();

    address public constant x402BatchSettlement = 0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003;

    modifier onlyEscrow() {
        if (msg.sender != x402BatchSettlement) revert OnlyX402BatchSettlement();
        _;
    }
}

/// Local equivalent of ERC3009DepositCollector, written to its published interface. The authorization's nonce names the channel.
contract ERC3009DepositCollector is DepositCollector {
    function collect(address payer, address token, uint256 amount, bytes32 channelId, bytes calldata collectorData)
        external
        onlyEscrow
    {
        (uint256 validAfter, uint256 validBefore, uint256 salt, bytes memory signature) =
            abi.decode(collectorData, (uint256, uint256, uint256, bytes));
        bytes32 nonce = keccak256(abi.encode(channelId, salt));
        IReceiveWithAuthorization(token).receiveWithAuthorization(
            payer, address(this), amount, validAfter, validBefore, nonce, signature
        );
        SafeERC20.safeTransfer(IERC20(token), x402BatchSettlement, amount);
    }
}

/// Local equivalent of Permit2DepositCollector, written to its published interface. The witness names the channel.
contract Permit2DepositCollector is DepositCollector, UsesPermit2 {
    bytes32 public constant DEPOSIT_WITNESS_TYPEHASH = keccak256("DepositWitness(bytes32 channelId)");
    string public constant DEPOSIT_WITNESS_TYPE_STRING =
        "DepositWitness witness)DepositWitness(bytes32 channelId)TokenPermissions(address token,uint256 amount)";

    function collect(address payer, address token, uint256 amount, bytes32 channelId, bytes calldata collectorData)
        external
        onlyEscrow
    {
        (uint256 nonce, uint256 deadline, bytes memory signature, bytes memory permit) =
            abi.decode(collectorData, (uint256, uint256, bytes, bytes));
        if (permit.length > 0) _tryPermit(token, payer, amount, _decodePermit(permit));
        PERMIT2.permitWitnessTransferFrom(
            IPermit2.PermitTransferFrom(IPermit2.TokenPermissions(token, amount), nonce, deadline),
            IPermit2.SignatureTransferDetails({to: x402BatchSettlement, requestedAmount: amount}),
            payer,
            keccak256(abi.encode(DEPOSIT_WITNESS_TYPEHASH, channelId)),
            DEPOSIT_WITNESS_TYPE_STRING,
            signature
        );
    }

    /// The order is (value, deadline, v, r, s) here and (value, deadline, r, s, v) in the proxies.
    function _decodePermit(bytes memory permit) private pure returns (EIP2612Permit memory) {
        (uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s) =
            abi.decode(permit, (uint256, uint256, uint8, bytes32, bytes32));
        return EIP2612Permit({value: value, deadline: deadline, r: r, s: s, v: v});
    }
}
